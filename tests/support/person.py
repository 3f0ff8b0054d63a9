"""A person who may authorize: a certificate and a key in software, which signs statements as a card would."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID


class Person:
    """`days`: how long the certificate is still valid. `fingerprint`: SHA-256 of it, hex."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None, days: int = 10) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST ONLY person")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key()).serial_number(1)
        made = made.not_valid_before(now - timedelta(days=30)).not_valid_after(now + timedelta(days=days))
        certificate = made.sign(self.key, hashes.SHA256())
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex()

    def signs(self, text: str) -> dict[str, Any]:
        """Return the signed statement, as `wardtool card authorize` writes it."""
        message = text.encode()
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self.key.sign(message, ec.ECDSA(hashes.SHA384() if self.key.key_size == 384 else hashes.SHA256()))
        return {"statement": text, "certificate": base64.b64encode(self.der).decode(), "signature": base64.b64encode(signature).decode()}
