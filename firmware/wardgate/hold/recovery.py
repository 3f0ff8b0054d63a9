"""A second way to a day key: keys that are kept elsewhere, so that the loss of the token does not lose what the box holds.

Behind the point in the name of a day key (see `tokenwrap`) stands for each of them

    ":" + 16 hex of the SHA-256 of its SPKI + ":" + point of a pair made for it, hex + ":" + day key, wrapped (RFC 3394), hex

under a key by `agreement` with the label "wardgate hold recovery key". The box has their public halves only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.hold.agreement import CURVES, derive, mark_of, new_pair, point_of, spki_of
from wardgate.hold.wrap import WrapError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_LABEL: Final = b"wardgate hold recovery key"
_MAX_FILE: Final = 1 << 16


class RecoveryError(WrapError):
    """A recovery key cannot be read, is of another kind, or is not one that an instance was wrapped to."""

    code = Code.HOLD_RECOVERY


def read_public(path: str | os.PathLike[str]) -> ec.EllipticCurvePublicKey:
    """Return the public key in a certificate or public key file, PEM: P-256 or P-384. Raises `RecoveryError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    data = _read(path)
    try:
        key: object = load_pem_x509_certificate(data).public_key() if b"BEGIN CERTIFICATE" in data else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RecoveryError(f"{os.fspath(path)} is neither a certificate nor a public key, PEM") from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _another_kind(path)
    return key


def read_private(path: str | os.PathLike[str], ask: Callable[[], str]) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a PEM file; `ask` gives its passphrase when it has one. Raises `RecoveryError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    try:
        try:
            key: object = load_pem_private_key(data, None)
        except TypeError:
            key = load_pem_private_key(data, ask().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RecoveryError(f"{os.fspath(path)} is no private key, PEM, or the passphrase is another") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _another_kind(path)
    return key


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        raise RecoveryError(f"{os.fspath(path)}: {error.strerror}") from error


def _another_kind(path: str | os.PathLike[str]) -> RecoveryError:
    return RecoveryError(f"{os.fspath(path)}: the key is neither P-256 nor P-384: nobody can agree on a key with it")


def for_each(publics: Sequence[ec.EllipticCurvePublicKey], day: bytes) -> str:
    """Return what stands behind the point in the name of a day key."""
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    text = ""
    for public in publics:
        point, secret = new_pair(public)
        spki = spki_of(public)
        text += f":{mark_of(spki)}:{point.hex()}:{aes_key_wrap(derive(secret, _LABEL, spki, point), day).hex()}"
    return text


class RecoveryWrapper:
    """Reads what the box held with a recovery key, without the token. It wraps nothing."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._spki = spki_of(key.public_key())
        self._days: dict[str, bytes] = {}
        self.name = f"recovery:{mark_of(self._spki)}"

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        raise RecoveryError("a recovery key only reads")

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        if name not in self._days:
            self.fetch(name)
        try:
            return aes_key_unwrap(self._days[name], wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise RecoveryError("a wrapped key does not verify") from error

    def ready(self, name: str) -> bool:
        return name in self._days

    def fetch(self, name: str) -> None:
        """Work out a day key. Raises `RecoveryError` when it was not wrapped to this key."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        words = name.split(":")[3:]
        for mark, point, wrapped in zip(*[iter(words)] * 3, strict=False):
            if mark == mark_of(self._spki):
                secret = self._key.exchange(ec.ECDH(), point_of(self._key.curve, point))
                try:
                    key = derive(secret, _LABEL, self._spki, bytes.fromhex(point))
                    self._days[name] = aes_key_unwrap(key, bytes.fromhex(wrapped))
                except (InvalidUnwrap, ValueError) as error:
                    raise RecoveryError("a day key wrapped to the recovery key does not verify") from error
                return
        raise RecoveryError(f"the instance was not wrapped to recovery key {mark_of(self._spki)}")

    def prepare(self) -> None:
        pass

    def forget(self) -> None:
        self._days.clear()
