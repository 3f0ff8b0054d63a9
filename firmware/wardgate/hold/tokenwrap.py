"""The key-encryption key in a token: an EC key with which the token agrees (PIV slot 9D, or any PKCS#11 key with CKA_DERIVE).

A *day key* wraps the instances' keys (RFC 3394). It comes of ECDH between a pair that the box makes for a day and the token's key:

    day key  = HKDF-SHA256(ECDH, no salt, info = "wardgate hold day key" | 0 | SHA-256 of the token's SPKI | point of the pair), 32 bytes
    its name = "ec:" + 16 hex of the SPKI's SHA-256 + ":" + the point of the pair, compressed, hex, and behind it what `recovery` puts there

Making one needs the token's public key only; the pair's private half is forgotten at once. Getting it back needs the token: the name says
with which point. A card makes a few agreements a second, so what it gave is kept a little.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from wardgate.hold.agreement import CURVES, derive, mark_of, new_pair, point_of
from wardgate.hold.wrap import WrapError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from wardgate.policy.keyref import TokenKey
    from wardgate.policy.model import Keys
    from wardkeys.client import KeyClient

DAY_SECONDS: Final = 86400.0
KEPT_SECONDS: Final = 60.0  # a day key that the token gave back, after that the token is asked again
MAX_KEPT: Final = 64
_LABEL: Final = b"wardgate hold day key"


class TokenWrapper:
    """One key in a token. `wrap` asks the token nothing but once for its public key; `fetch` does and blocks."""

    def __init__(self, key: TokenKey, keys: Keys, clock: Callable[[], float] = time.monotonic, recovery: Sequence[str | Path] = ()) -> None:
        """Asks nobody: the token may be out. `recovery`: files of public keys. Raises `RecoveryError`."""
        from wardgate.hold.recovery import read_public

        self._recovery = [read_public(path) for path in recovery]
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
        kind, mark, point, *_recovery = (*name.split(":"), "", "")
        if kind != "ec" or mark != mark_of(self._spki):
            raise WrapError(f"the instance was written under key {name[:24]}, the token has ec:{mark_of(self._spki)}")
        pair = point_of(public.curve, point)
        day = derive(self._client().agree(self._key, _uncompressed(pair)), _LABEL, self._spki, bytes.fromhex(point))
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
        from wardgate.hold.recovery import for_each

        public = self._public
        if public is None:
            raise WrapError("the public key of the token is not known yet")
        point, secret = new_pair(public)
        key = derive(secret, _LABEL, self._spki, point)
        name = f"ec:{mark_of(self._spki)}:{point.hex()}{for_each(self._recovery, key)}"
        self._day = day = (self._clock() + DAY_SECONDS, name, key)
        return day

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
            if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in CURVES:
                raise WrapError("the token's key is neither P-256 nor P-384: it cannot agree on a key")
            self._spki, self._public = spki, public
        return self._public

    def _client(self) -> KeyClient:
        from wardkeys.client import KeyClient

        return KeyClient(os.fspath(self._keys.socket), float(self._keys.sign_seconds))


def _uncompressed(public: ec.EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
