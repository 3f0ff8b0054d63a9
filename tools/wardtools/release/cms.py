"""CMS SignedData (RFC 5652) with its content inside: what RAUC finds at the end of a bundle. Sans-IO, one signer, SHA-256."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from wardkeys.der import NULL, OCTET_STRING, SEQUENCE, integer, tlv

SET: Final = 0x31
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
# Object identifiers with tag and length: RFC 5652 4, 5.1, 11.1 to 11.3; RFC 5754 2.2, 3.2, 3.3.
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
_CONTENT_TYPE: Final = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST: Final = bytes.fromhex("06092a864886f70d010904")
_SIGNING_TIME: Final = bytes.fromhex("06092a864886f70d010905")
_SHA256: Final = tlv(SEQUENCE, bytes.fromhex("0609608648016503040201"))
_ECDSA: Final = tlv(SEQUENCE, bytes.fromhex("06082a8648ce3d040302"))
_RSA: Final = tlv(SEQUENCE, bytes.fromhex("06092a864886f70d01010b") + NULL)

Sign = Callable[[str, bytes], bytes]


def signed_data(content: bytes, certificates: list[x509.Certificate], sign: Sign, signing_time: float) -> bytes:
    """Return ContentInfo of `content`, DER. `certificates`: the signer's first, then what leads to the anchor.

    `sign` gets the scheme of the key service (`ecdsa-sha256`, `rsa-pkcs1-sha256`) and a SHA-256 digest. Raises `ValueError` for other keys.
    """
    signer = certificates[0]
    key = signer.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        scheme, algorithm = "ecdsa-sha256", _ECDSA
    elif isinstance(key, rsa.RSAPublicKey):
        scheme, algorithm = "rsa-pkcs1-sha256", _RSA
    else:
        raise ValueError("a release is signed with an EC or RSA key")
    # RFC 5652 5.4: what is signed is the SET OF, in DER's order, although an implicit tag stands in its place later.
    attributes = b"".join(
        sorted(
            (
                _attribute(_CONTENT_TYPE, _DATA),
                _attribute(_SIGNING_TIME, _time(signing_time)),
                _attribute(_MESSAGE_DIGEST, tlv(OCTET_STRING, hashlib.sha256(content).digest())),
            )
        )
    )
    signature = sign(scheme, hashlib.sha256(tlv(SET, attributes)).digest())
    info = tlv(
        SEQUENCE,
        integer(b"\x01")
        + tlv(SEQUENCE, signer.issuer.public_bytes() + integer(_bytes(signer.serial_number)))
        + _SHA256
        + tlv(0xA0, attributes)
        + algorithm
        + tlv(OCTET_STRING, signature),
    )
    ders = sorted(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    body = (
        integer(b"\x01")
        + tlv(SET, _SHA256)
        + tlv(SEQUENCE, _DATA + tlv(0xA0, tlv(OCTET_STRING, content)))
        + tlv(0xA0, b"".join(ders))
        + tlv(SET, info)
    )
    return tlv(SEQUENCE, _SIGNED_DATA + tlv(0xA0, tlv(SEQUENCE, body)))


def _attribute(kind: bytes, value: bytes) -> bytes:
    return tlv(SEQUENCE, kind + tlv(SET, value))


def _time(seconds: float) -> bytes:
    """RFC 5652 11.3: UTCTime has two digits of the year and ends with 2049."""
    text = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode()
    return tlv(_UTC_TIME, text[2:]) if text < b"2050" else tlv(_GENERALIZED_TIME, text)


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 8) // 8, "big")
