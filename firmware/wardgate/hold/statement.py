"""What a person signs to authorize originals (PS3.15 A.1.1 b), and whether it was signed. Sans-IO but for the clock given.

The forwarder writes a *statement* with a nonce of its own, a card signs it, the forwarder takes it once. A statement is text that the
person can read; it names each instance with the digest of its bytes, so that one authorizes these bytes and not a name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wardgate.codes import Code

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

FIRST_LINE: Final = "wardgate authorization v1"
MAX_INSTANCES: Final = 256
MAX_BYTES: Final = 49152
_CERTIFICATE_BYTES: Final = 8192


class NotAuthorized(Exception):
    """The statement, the person or the signature is not right."""

    code = Code.ORIGINAL_NOT_AUTHORIZED


class Named(NamedTuple):
    """One instance of a statement: `sha256` of its data set as it came, hex."""

    sop_instance: str
    sha256: str


def statement(box: str, link: str, nonce: str, time: str, comment: str, instances: Sequence[Named]) -> str:
    """Return the text to be signed."""
    lines = [FIRST_LINE, f"box {box}", f"link {link}", f"nonce {nonce}", f"time {time}", f"comment {comment}"]
    lines += [f"instance {each.sop_instance} sha256 {each.sha256}" for each in instances]
    return "\n".join(lines) + "\n"


class Signed(NamedTuple):
    """A signed statement. `fingerprint`: SHA-256 of the certificate, hex."""

    text: str
    fingerprint: str
    signature: bytes


def read_signed(data: dict[str, Any], allowed: Sequence[str], now: float) -> Signed:
    """Return what is signed. Raises `NotAuthorized` for a person who may not, a certificate out of its time, or a wrong signature."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        text = str(data["statement"])
        der = base64.b64decode(str(data["certificate"]), validate=True)
        signature = base64.b64decode(str(data["signature"]), validate=True)
    except (KeyError, ValueError, binascii.Error) as error:
        raise NotAuthorized("not a signed statement") from error
    if len(text) > MAX_BYTES or len(der) > _CERTIFICATE_BYTES or not text.isascii() or not text.startswith(FIRST_LINE + "\n"):
        raise NotAuthorized("not a signed statement")
    fingerprint = hashlib.sha256(der).hexdigest()
    if fingerprint not in allowed:
        raise NotAuthorized(f"certificate {fingerprint[:16]}... is not one of `authorizers`")
    try:
        certificate = x509.load_der_x509_certificate(der)
        if not certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp():
            raise NotAuthorized("the certificate is out of its time")
        _verify(certificate, text.encode("ascii"), signature)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise NotAuthorized("the signature does not fit the statement") from error
    return Signed(text, fingerprint, signature)


def _verify(certificate: Certificate, message: bytes, signature: bytes) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256:
        key.verify(signature, message, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else hashes.SHA256()))
    else:
        raise ValueError("a key that no PIV card has")
