"""A `Signer` whose key stays in a token: every signature is asked of the key service."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from wardgate.policy.keyref import TokenKey
    from wardgate.policy.model import Keys
    from wardgate.signer import Scheme
    from wardkeys.client import KeyClient

_VERSION: Final = 1
_REHEARSAL: Final = 1
_HEAD: Final = struct.Struct("!BBI")


class ServiceSigner:
    """One key in a token, named by its URI."""

    def __init__(self, key: TokenKey, keys: Keys, *, rehearsal: bool = False) -> None:
        """`rehearsal`: signatures of an armed context are worth nothing and nobody is asked for them."""
        self._key = key
        self._keys = keys
        self._rehearsal = rehearsal

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. The key service remembers it while the token is out. Raises `KeyServiceError`."""
        return self._client().public(self._key)

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data`, at most within `Keys.sign_seconds`. Raises `KeyServiceError`."""
        import hashlib

        hashed, dash, name = scheme.value.rpartition("-")
        digest = hashlib.new(name, data).digest() if hashed and dash else data  # Ed25519 hashes by itself
        return self._client().sign(self._key, scheme.value, digest)

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Give `context` the certificate chain (PEM) and the use of this key. Asks nobody: the token may be out.

        The public key is taken from the certificate; that it is the token's is seen by `wardgate check` and at the first signature.
        Raises `ProfileNotMet`, `OSError`, `ssl.SSLError`.
        """
        from wardgate.transport import provider

        provider.load()
        text = self._key_file(_public_key_of(chain))
        file = os.memfd_create("wardkeys", os.MFD_CLOEXEC)
        try:
            os.write(file, text)
            context.load_cert_chain(chain, f"/proc/self/fd/{file}")
        finally:
            os.close(file)

    def _client(self) -> KeyClient:
        from wardkeys.client import KeyClient

        return KeyClient(str(self._keys.socket), float(self._keys.sign_seconds))

    def _key_file(self, public_key: bytes) -> bytes:
        """Return the PEM file that the provider reads; its form is in `hsm/provider/decoder.c`. No secret is in it."""
        from binascii import b2a_base64

        data = _HEAD.pack(_VERSION, _REHEARSAL if self._rehearsal else 0, self._keys.sign_seconds * 1000)
        for field in (os.fsencode(self._keys.socket), self._key.encode(), public_key):
            data += struct.pack("!H", len(field)) + field
        lines = b"".join(b2a_base64(data[at : at + 48]) for at in range(0, len(data), 48))
        return b"-----BEGIN WARDKEYS KEY-----\n" + lines + b"-----END WARDKEYS KEY-----\n"


def _public_key_of(chain: Path) -> bytes:
    """Return the SubjectPublicKeyInfo of the leaf, DER. Raises `ProfileNotMet`."""
    from wardgate.transport.chain import first_certificate

    return first_certificate(chain).spki
