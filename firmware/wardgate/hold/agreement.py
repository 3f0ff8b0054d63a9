"""Key agreement on EC keys for the queue: what the key in the token and a recovery key have in common.

key  HKDF-SHA256(ECDH, no salt, info = label | 0 | SHA-256 of the recipient's SPKI | point of the pair, compressed), 32 bytes
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from wardgate.hold.wrap import KEY_BYTES, WrapError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

CURVES: Final = ("secp256r1", "secp384r1")


def derive(secret: bytes, label: bytes, spki: bytes, point: bytes) -> bytes:
    """Return the key that an agreement gives."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, None, label + b"\0" + hashlib.sha256(spki).digest() + point).derive(secret)


def new_pair(public: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    """Return the compressed point of a new pair and what it agrees on with `public`; its private half is forgotten."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pair = ec.generate_private_key(public.curve)
    return pair.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint), pair.exchange(ec.ECDH(), public)


def mark_of(spki: bytes) -> str:
    """Return what names a public key where it is wrapped to."""
    return hashlib.sha256(spki).hexdigest()[:16]


def point_of(curve: ec.EllipticCurve, text: str) -> ec.EllipticCurvePublicKey:
    """Return the point in a name. Raises `WrapError`."""
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes.fromhex(text))
    except ValueError as error:
        raise WrapError("the name of a day key has no point of the key's curve") from error


def spki_of(public: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo, DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
