"""The seam for private keys: whoever needs one gets a `Signer` from `signer_for`, never the key.

`ServiceSigner` (`wardgate.tokensigner`) has a key in a token. `FileSigner` is the development fallback. `SpawnedSigner` uses the same
file in a process of its own for each signature (`python -m wardgate.signer FILE`), for who signs once a minute and lives for months.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from wardgate.policy.keyref import KeyReference
    from wardgate.policy.model import Keys


class Scheme(Enum):
    """How a signature is made. The value is the key service's name of it; ECDSA signatures are DER, the salt of PSS is a digest long."""

    ED25519 = "ed25519"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PSS_SHA256 = "rsa-pss-sha256"


def signer_for(key: KeyReference, keys: Keys, *, rehearsal: bool = False) -> Signer:
    """Return who uses `key`: the key service of `keys` for one in a token, else this process itself. Nothing is opened or asked yet.

    `rehearsal`: a token is not asked; its signatures in a handshake are worth nothing.
    """
    from wardgate.policy.keyref import TokenKey

    if isinstance(key, TokenKey):
        from wardgate.tokensigner import ServiceSigner

        return ServiceSigner(key, keys, rehearsal=rehearsal)
    return FileSigner(key)


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


# RFC 8410 7 and 4: the DER around the 32 bytes of an Ed25519 private and public key.
_ED25519_PRIVATE: Final = bytes.fromhex("302e020100300506032b657004220420")
_ED25519_PUBLIC: Final = bytes.fromhex("302a300506032b6570032100")


_SPAWNED_SECONDS: Final = 30
_MAX_ANSWER: Final = 4096


class SpawnedSigner:
    """A private key in a PEM file that this process never reads: a short-lived child does, and gives back the signature."""

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. Raises `ValueError`."""
        return self._ask("public", b"")

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data`. Raises `ValueError`. Takes about 0.2 s."""
        return self._ask(scheme.value, data)

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Not for TLS."""
        raise ValueError("a spawned signer cannot serve TLS")

    def _ask(self, what: str, data: bytes) -> bytes:
        import os
        import select
        import sys

        argv = [sys.executable, "-P", "-m", "wardgate.signer", str(self._path), what]
        ours: list[int] = []
        theirs: list[int] = []
        pid, status, signed = 0, 1, b""
        try:  # whatever fails, no descriptor and no child stays behind: this is tried again every second
            for end in (0, 1):
                pipe = os.pipe2(os.O_CLOEXEC)
                theirs.append(pipe[end])
                ours.append(pipe[1 - end])
            actions = [(os.POSIX_SPAWN_DUP2, theirs[0], 0), (os.POSIX_SPAWN_DUP2, theirs[1], 1)]
            pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions)
            while theirs:
                os.close(theirs.pop())
            os.write(ours[0], data)
            os.close(ours.pop(0))
            if select.select([ours[0]], [], [], _SPAWNED_SECONDS)[0]:
                signed = os.read(ours[0], _MAX_ANSWER)
        except OSError as error:
            raise ValueError(f"the key in {self._path} cannot be used for {what}: {error}") from error
        finally:
            for descriptor in ours + theirs:
                os.close(descriptor)
            if pid:
                if not signed:
                    os.kill(pid, 9)
                _, status = os.waitpid(pid, 0)
        if status or not signed:
            raise ValueError(f"the key in {self._path} cannot be used for {what}")
        return signed


def main(arguments: list[str]) -> int:
    """Answer one question of a `SpawnedSigner`: FILE public|SCHEME, data on standard input (at most a pipe full), answer on output."""
    import os
    import sys
    from pathlib import Path

    path, what = arguments
    signer = FileSigner(Path(path))
    try:
        answer = signer.public_key() if what == "public" else signer.sign(os.read(0, 65536), Scheme(what))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    os.write(1, answer)
    return 0


class FileSigner:
    """A private key in a PEM file (PKCS#8, unencrypted). For development: a product keeps its keys in a token."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        key = self._ed25519()
        if key is not None:
            return _ED25519_PUBLIC + key.public_key().public_bytes_raw()
        from cryptography.hazmat.primitives import serialization

        loaded = serialization.load_pem_private_key(self._path.read_bytes(), None)
        return loaded.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data` with the key. Raises `ValueError` when the key is not of that scheme."""
        key = self._ed25519()
        if scheme is Scheme.ED25519 and key is not None:
            return key.sign(data)
        raise ValueError(f"the key in {self._path} cannot make a {scheme.value} signature")

    def arm(self, context: ssl.SSLContext, chain: Path) -> None:
        """Give `context` the certificate chain (PEM) and the use of this key."""
        context.load_cert_chain(chain, self._path)

    def _ed25519(self) -> Ed25519PrivateKey | None:
        """Load an Ed25519 key without the general loader: that costs the custody writer, which is always there, 6 MiB."""
        from binascii import Error, a2b_base64

        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        lines = self._path.read_text("ascii", "replace").strip().splitlines()
        if not lines or lines[0] != "-----BEGIN PRIVATE KEY-----":
            raise ValueError(f"{self._path} does not hold a private key (PKCS#8, PEM, unencrypted)")
        try:
            der = a2b_base64("".join(lines[1:-1]))
        except Error as error:
            raise ValueError(f"{self._path} is not PEM") from error
        if len(der) == 48 and der.startswith(_ED25519_PRIVATE):
            return Ed25519PrivateKey.from_private_bytes(der[16:])
        return None


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
