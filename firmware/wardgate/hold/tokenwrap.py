"""The key-encryption key in a token: an EC key with which the token agrees (PIV slot 9D, or any PKCS#11 key with CKA_DERIVE).

A *day key* wraps the instances' keys (RFC 3394). It comes of ECDH between a pair that the box makes for a day and the token's key:

    day key  = HKDF-SHA256(ECDH, no salt, info = "wardgate hold day key" | 0 | SHA-256 of the token's SPKI | point of the pair), 32 bytes
    its name = "ec:" + 16 hex of the SPKI's SHA-256 + ":" + the point of the pair, compressed, hex

Making one needs the token's public key only; the pair's private half is forgotten at once. Getting it back needs the token: the name says
with which point. A card makes a few agreements a second, so what it gave is kept a little.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from wardgate.hold.wrap import KEY_BYTES, WrapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import ec

    from wardgate.policy.keyref import TokenKey
    from wardgate.policy.model import Keys
    from wardkeys.client import KeyClient

DAY_SECONDS: Final = 86400.0
KEPT_SECONDS: Final = 60.0  # a day key that the token gave back, after that the token is asked again
MAX_KEPT: Final = 64
_INFO: Final = b"wardgate hold day key\0"
_CURVES: Final = ("secp256r1", "secp384r1")


class TokenWrapper:
    """One key in a token. `wrap` asks the token nothing but once for its public key; `fetch` does and blocks."""

    def __init__(self, key: TokenKey, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        """Asks nobody: the token may be out."""
        self._key = key
        self._keys = keys
        self._clock = clock
        self.name = f"token:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        self._public: ec.EllipticCurvePublicKey | None = None
        self._spki = b""
        self._day: tuple[float, str, bytes] | None = None  # end, name, key
        self._kept: dict[str, tuple[float, bytes]] = {}  # name -> end, key
        self._lock = threading.Lock()

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Wrap under today's key. Raises `WrapError` when `prepare` was not called, or failed."""
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        day = self._day
        if day is None or day[0] <= self._clock():
            day = self._new_day()
        return day[1], aes_key_wrap(day[2], key)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Unwrap under a day key that `fetch` got. Raises `WrapError`."""
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        with self._lock:
            kept = self._kept.get(name)
        if kept is None or kept[0] <= self._clock():
            raise WrapError(f"the token was not asked for key {name[:24]}")
        try:
            return aes_key_unwrap(kept[1], wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise WrapError("a wrapped key does not verify") from error

    def ready(self, name: str) -> bool:
        """Would `unwrap` know that key, and still know it in a moment?"""
        with self._lock:
            kept = self._kept.get(name)
        return kept is not None and kept[0] > self._clock() + KEPT_SECONDS / 2

    def fetch(self, name: str) -> None:
        """Have the token give a day key back. Blocks as long as the token takes. Raises `KeyServiceError`, `WrapError`."""
        public = self._known_public()
        mark, _, point = name.removeprefix("ec:").partition(":")
        if not name.startswith("ec:") or mark != _mark(self._spki):
            raise WrapError(f"the instance was written under key {name[:24]}, the token has ec:{_mark(self._spki)}")
        pair = _point(public.curve, point)
        day = self._derive(self._client().agree(self._key, _uncompressed(pair)), bytes.fromhex(point))
        with self._lock:
            now = self._clock()
            self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now}
            while len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = (now + KEPT_SECONDS, day)

    def prepare(self) -> None:
        """Learn the token's public key: then `wrap` works. Blocks. Raises `KeyServiceError`, `WrapError`."""
        self._known_public()

    def forget(self) -> None:
        """The token is out: know no key any more."""
        self._day = None
        with self._lock:
            self._kept.clear()

    def _new_day(self) -> tuple[float, str, bytes]:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self._public
        if public is None:
            raise WrapError("the public key of the token is not known yet")
        pair = ec.generate_private_key(public.curve)
        point = pair.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        key = self._derive(pair.exchange(ec.ECDH(), public), point)
        self._day = day = (self._clock() + DAY_SECONDS, f"ec:{_mark(self._spki)}:{point.hex()}", key)
        return day

    def _derive(self, secret: bytes, point: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), KEY_BYTES, None, _INFO + hashlib.sha256(self._spki).digest() + point).derive(secret)

    def _known_public(self) -> ec.EllipticCurvePublicKey:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        if self._public is None:
            spki = self._client().public(self._key)
            try:
                public = load_der_public_key(spki)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise WrapError("the token's key is of no known kind") from error
            if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in _CURVES:
                raise WrapError("the token's key is neither P-256 nor P-384: it cannot agree on a key")
            self._spki, self._public = spki, public
        return self._public

    def _client(self) -> KeyClient:
        from wardkeys.client import KeyClient

        return KeyClient(os.fspath(self._keys.socket), float(self._keys.sign_seconds))


def _mark(spki: bytes) -> str:
    return hashlib.sha256(spki).hexdigest()[:16]


def _point(curve: ec.EllipticCurve, text: str) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes.fromhex(text))
    except ValueError as error:
        raise WrapError("the name of a day key has no point of the token's curve") from error


def _uncompressed(public: ec.EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
