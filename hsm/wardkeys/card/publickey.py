"""Public keys and signatures of PIV slots in the terms of `cryptography`. Not imported by the key service."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from wardgate.codes import Code
from wardkeys.card.errors import CardError
from wardkeys.card.piv import RSA_BYTES, Algorithm
from wardkeys.card.tlv import find

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES: Final[dict[Algorithm, type[ec.EllipticCurve]]] = {Algorithm.P256: ec.SECP256R1, Algorithm.P384: ec.SECP384R1}
# RFC 8017 9.2, note 1: DigestInfo of SHA-256 without the digest
_DIGEST_INFO_SHA256: Final = bytes.fromhex("3031300d060960864801650304020105000420")


def public_key(algorithm: Algorithm, answer: bytes) -> PublicKey:
    """Return the public key in the answer to GENERATE ASYMMETRIC KEY PAIR. Raises `CardError` (CARD_ANSWER)."""
    try:
        if algorithm in _CURVES:
            return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[algorithm](), find(answer, 0x86))
        modulus, exponent = (int.from_bytes(find(answer, tag), "big") for tag in (0x81, 0x82))
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise CardError(Code.CARD_ANSWER, "a public key that is none") from error
    if key.key_size != 8 * RSA_BYTES[algorithm]:
        raise CardError(Code.CARD_ANSWER, "a public key of another size than asked for")
    return key


def algorithm_of(key: object) -> Algorithm:
    """Return the algorithm identifier of a public key. Raises `CardError` (CARD_INPUT) for one that PIV slots do not have."""
    if isinstance(key, rsa.RSAPublicKey):
        for algorithm, size in RSA_BYTES.items():
            if key.key_size == 8 * size:
                return algorithm
    if isinstance(key, ec.EllipticCurvePublicKey):
        for algorithm, curve in _CURVES.items():
            if isinstance(key.curve, curve):
                return algorithm
    raise CardError(Code.CARD_INPUT, "not a key of RSA 2048 or 3072, P-256 or P-384")


def to_sign(algorithm: Algorithm, message: bytes) -> bytes:
    """Return what the card has to work on: a PKCS#1 v1.5 block with SHA-256 (RFC 8017 9.2), or the digest of the curve's size."""
    if algorithm is Algorithm.P384:
        return hashlib.sha384(message).digest()
    digest = hashlib.sha256(message).digest()
    if algorithm is Algorithm.P256:
        return digest
    info = _DIGEST_INFO_SHA256 + digest
    return b"\x00\x01" + b"\xff" * (RSA_BYTES[algorithm] - len(info) - 3) + b"\x00" + info
