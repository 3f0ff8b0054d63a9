"""Asymmetric keys of the PIV application: made on the card, used by GENERAL AUTHENTICATE (SP 800-78-4 table 6-2)."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from virtualcard import tlv
from virtualcard.apdu import Refusal, Status
from virtualcard.state import PrivateKey

RSA2048, RSA3072, P256, P384 = 0x07, 0x05, 0x11, 0x14
_RSA_BITS: Final = {RSA2048: 2048, RSA3072: 3072}
_CURVES: Final[dict[int, type[ec.EllipticCurve]]] = {P256: ec.SECP256R1, P384: ec.SECP384R1}
ALGORITHMS: Final = frozenset({*_RSA_BITS, *_CURVES})
_DIGESTS: Final[dict[int, type[hashes.HashAlgorithm]]] = {
    20: hashes.SHA1,
    28: hashes.SHA224,
    32: hashes.SHA256,
    48: hashes.SHA384,
    64: hashes.SHA512,
}

Loaded = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def generate(algorithm: int) -> tuple[PrivateKey, bytes]:
    """Make a key pair; return it and its public key as the card answers it (7F49)."""
    key: Loaded
    if algorithm in _RSA_BITS:
        key = rsa.generate_private_key(65537, _RSA_BITS[algorithm])
    else:
        key = ec.generate_private_key(_CURVES[algorithm]())
    encoded = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return PrivateKey(algorithm, encoded), tlv.encode(0x7F49, public(key))


def public(key: Loaded) -> bytes:
    """Return the public key's data objects: 81 modulus and 82 exponent, or 86 point."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return tlv.encode(0x81, numbers.n.to_bytes(key.key_size // 8, "big")) + tlv.encode(0x82, numbers.e.to_bytes(3, "big"))
    return tlv.encode(0x86, key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint))


def load(key: PrivateKey) -> Loaded:
    """Return the key ready for use."""
    loaded = serialization.load_der_private_key(key.pkcs8, None)
    assert isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return loaded


def sign(key: Loaded, message: bytes) -> bytes:
    """RSA: the bare private operation on a block of the modulus' length. EC: ECDSA over a digest, DER."""
    if isinstance(key, rsa.RSAPrivateKey):
        return _rsa(key, message)
    if len(message) not in _DIGESTS:
        raise Refusal(Status.WRONG_DATA)
    return key.sign(message, ec.ECDSA(utils.Prehashed(_DIGESTS[len(message)]())))


def agree(key: Loaded, point: bytes) -> bytes:
    """Return the shared secret of ECDH with the point given, the x coordinate."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refusal(Status.WRONG_DATA)
    try:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point)
    except ValueError as error:
        raise Refusal(Status.WRONG_DATA) from error
    return key.exchange(ec.ECDH(), peer)


def _rsa(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    numbers = key.private_numbers()
    size, value = key.key_size // 8, int.from_bytes(block, "big")
    if len(block) != size or value >= numbers.public_numbers.n:
        raise Refusal(Status.WRONG_DATA)
    one, two = pow(value, numbers.dmp1, numbers.p), pow(value, numbers.dmq1, numbers.q)  # Chinese remainder
    return (two + (one - two) * numbers.iqmp % numbers.p * numbers.q).to_bytes(size, "big")
