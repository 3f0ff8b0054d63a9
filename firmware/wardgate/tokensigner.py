"""A `Signer` whose key stays in a token: every signature is asked of the key service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from wardgate.policy.keyref import TokenKey
    from wardgate.policy.model import Keys
    from wardgate.signer import Scheme


class ServiceSigner:
    """One key in a token, named by its URI."""

    def __init__(self, key: TokenKey, keys: Keys) -> None:
        self._key = key
        self._keys = keys

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. The key service remembers it while the token is out. Raises `KeyServiceError`."""
        raise NotImplementedError

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data`, at most within `Keys.sign_seconds`. Raises `KeyServiceError`."""
        raise NotImplementedError

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Give `context` the certificate chain (PEM) and the use of this key. Asks nobody: the token may be out."""
        raise NotImplementedError
