"""Keys of the test PKI in a SoftHSM token behind a real key service, and TLS contexts that use them there."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.keyservice import KeyService
from support.processes import run
from support.softhsm import PIN, SoftHsm
from support.tlskit import shared_pki
from wardgate.policy.keyref import TokenKey
from wardgate.policy.model import Keys
from wardgate.policy.tls import CertificateFiles
from wardgate.tokensigner import ServiceSigner
from wardgate.transport import provider
from wardgate.transport.errors import ProfileNotMet

LABEL = "ward-ct1"
KINDS = {"p256": "box-ecdsa", "p384": "box-p384", "rsa": "box-rsa", "rsa3072": "box-rsa3072"}


def need_provider() -> None:
    """Skip the test when the provider module cannot be loaded here."""
    try:
        provider.load()
    except ProfileNotMet as error:
        pytest.skip(str(error))


def make_leaves() -> None:
    """Issue the certificates of `KINDS` that a test PKI does not have."""
    pki = shared_pki()
    if not pki.leaf("box-p384").chain.exists():
        pki.issue("box-p384", dns=("localhost", "box.test"), key=ec.generate_private_key(ec.SECP384R1()))
        pki.issue("box-rsa3072", kind="rsa", rsa_bits=3072, dns=("localhost", "box.test"))


class TokenKit:
    """A key service with one SoftHSM token that holds the keys `names` of the shared PKI. `close` ends it."""

    def __init__(self, *names: str) -> None:
        need_provider()
        make_leaves()
        self._temporary = tempfile.TemporaryDirectory(prefix="wg-")
        self.folder = Path(self._temporary.name)
        self.hsm = SoftHsm(self.folder)
        self.hsm.new_token(LABEL)
        for number, name in enumerate(names or KINDS.values(), 1):
            self.put(name, name, number)
        self.service = KeyService(self.folder, self.hsm.env)
        self.service.add_token(LABEL, self.hsm.module)
        self.service.start()

    def put(self, name: str, certificate: str, number: int) -> None:
        """Put the key of a certificate into the token, as object `name`."""
        words = ["softhsm2-util", "--import", shared_pki().leaf(certificate).key, "--token", LABEL, "--label", name]
        ended = run([*words, "--id", f"{number:02x}", "--pin", PIN], env=self.hsm.env)
        assert ended.returncode == 0, ended.stdout

    @property
    def keys(self) -> Keys:
        """The `[keys]` of a configuration."""
        return Keys(self.service.socket, sign_seconds=10)

    def close(self) -> None:
        """End the key service and remove the token."""
        self.service.stop()
        self._temporary.cleanup()

    def certificates(self, *names: str) -> tuple[CertificateFiles, ...]:
        """Return chain files with their keys in the token."""
        return tuple(CertificateFiles(shared_pki().leaf(name).chain, key_of(name)) for name in names)

    def context(self, name: str, *, server: bool, certificate: str | None = None) -> ssl.SSLContext:
        """Return a context with the key `name` in the token, mutual, that trusts the root."""
        return armed(ServiceSigner(key_of(name), self.keys).arm, shared_pki().leaf(certificate or name).chain, server=server)


def key_of(name: str) -> TokenKey:
    """Return the URI of an object in the token."""
    return TokenKey(f"pkcs11:token={LABEL};object={name};type=private")


def armed(arm: Callable[[ssl.SSLContext, Path], None], chain: Path, *, server: bool) -> ssl.SSLContext:
    """Return a mutual context that trusts the root of the shared PKI and was armed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(shared_pki().root)
    arm(context, chain)
    return context
