"""The little DER that signatures and public keys need (X.690 8 and 10). Sans-IO."""

from __future__ import annotations

from typing import Final

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = b"\x05\x00"

# Object identifiers with tag and length: RFC 8017 A.1, RFC 5480 2.1.1 and 2.1.1.1, RFC 8410 3.
OID_RSA: Final = bytes.fromhex("06092a864886f70d010101")
OID_EC: Final = bytes.fromhex("06072a8648ce3d0201")
OID_P256: Final = bytes.fromhex("06082a8648ce3d030107")
OID_P384: Final = bytes.fromhex("06052b81040022")
OID_ED25519: Final = bytes.fromhex("06032b6570")
NAME_ED25519: Final = bytes.fromhex("130c656477617264733235353139")  # PKCS#11 3.0 2.3.10: curveName "edwards25519"


class DerError(ValueError):
    """Not the DER that was expected."""


def tlv(tag: int, value: bytes) -> bytes:
    """Return tag, definite length, value."""
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def integer(magnitude: bytes) -> bytes:
    """Return a non-negative INTEGER of big-endian bytes."""
    value = magnitude.lstrip(b"\0") or b"\0"
    return tlv(INTEGER, b"\0" + value if value[0] & 0x80 else value)


def octets(der: bytes) -> bytes:
    """Return the content of one OCTET STRING that is all of `der`. Raises `DerError`."""
    if len(der) < 2 or der[0] != OCTET_STRING:
        raise DerError("no OCTET STRING")
    start, length = 2, der[1]
    if length & 0x80:
        count = length & 0x7F
        start, length = 2 + count, int.from_bytes(der[2 : 2 + count], "big")
    if len(der) != start + length:
        raise DerError("OCTET STRING of another length")
    return der[start:]


def ecdsa_signature(raw: bytes) -> bytes:
    """Return ECDSA-Sig-Value (RFC 3279 2.2.3) of the r and s that PKCS#11 puts side by side. Raises `DerError`."""
    half = len(raw) // 2
    if not half or len(raw) % 2:
        raise DerError(f"ECDSA signature of {len(raw)} bytes")
    return tlv(SEQUENCE, integer(raw[:half]) + integer(raw[half:]))


def spki(algorithm: bytes, key: bytes) -> bytes:
    """Return a SubjectPublicKeyInfo (RFC 5280 4.1) of the content of its AlgorithmIdentifier and the key's bits."""
    return tlv(SEQUENCE, tlv(SEQUENCE, algorithm) + tlv(BIT_STRING, b"\0" + key))


def certificate_spki(certificate: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo inside a certificate (RFC 5280 4.1), as it stands there. Raises `DerError`."""
    body = _content(_content(certificate, SEQUENCE), SEQUENCE)
    if body[:1] == b"\xa0":  # version [0]
        body = body[_end(body) :]
    for _ in range(5):  # serialNumber, signature, issuer, validity, subject
        body = body[_end(body) :]
    if body[:1] != b"\x30":
        raise DerError("no certificate")
    return body[: _end(body)]


def _content(der: bytes, tag: int) -> bytes:
    if der[:1] != bytes((tag,)):
        raise DerError("unexpected tag")
    return der[_start(der) : _end(der)]


def _start(der: bytes) -> int:
    if len(der) < 2:
        raise DerError("cut off")
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _end(der: bytes) -> int:
    start = _start(der)
    length = int.from_bytes(der[2:start], "big") if der[1] & 0x80 else der[1]
    if start > 6 or start + length > len(der):
        raise DerError("cut off")
    return start + length
