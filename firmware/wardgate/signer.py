"""The seam for private keys: whoever needs one gets a `Signer`, never the key.

`FileSigner` is the development fallback. A key service takes its place without a change elsewhere.
"""

from __future__ import annotations

import ssl
from enum import Enum
from pathlib import Path
from typing import Protocol


class Scheme(Enum):
    """How a signature is made."""

    ED25519 = "ed25519"


class Signer(Protocol):
    """One private key that may be used but not read."""

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        ...

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data` (not a digest of it). May take a second when a card does it: never call it on the event loop."""
        ...

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Give `context` the certificate chain (PEM) and the use of this key."""
        ...


class FileSigner:
    """A private key in a PEM file (PKCS#8, unencrypted). For development: a product keeps its keys in a token."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        from cryptography.hazmat.primitives import serialization

        return self._load().public_key().public_bytes(  # type: ignore[attr-defined, no-any-return]
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data` with the key. Raises `ValueError` when the key is not of that scheme."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = self._load()
        if scheme is Scheme.ED25519 and isinstance(key, Ed25519PrivateKey):
            return key.sign(data)
        raise ValueError(f"the key in {self._path} cannot make a {scheme.value} signature")

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Give `context` the certificate chain (PEM) and the use of this key."""
        context.load_cert_chain(chain, self._path)

    def _load(self) -> object:
        from cryptography.hazmat.primitives import serialization

        return serialization.load_pem_private_key(self._path.read_bytes(), None)
