"""`wardtool pki test DIR`: a test PKI with good and defective certificates and CRLs. Never for patients' data.

One root with an issuing CA below it, and a second, unrelated root. All keys lie in the open in DIR; every subject says TEST ONLY.
"""

from __future__ import annotations

import argparse
import ipaddress
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

ORGANISATION: Final = "TEST ONLY - not for patients - Wardgate test PKI"
PARTIES: Final = ("box", "pacs", "ct1")
KINDS: Final = ("ecdsa", "rsa")
DEFECTS: Final = ("expired", "future", "other-ca", "rsa1024", "sha1", "wrong-name", "revoked", "wrong-usage")
# Loopback, and the addresses that tests and benchmarks give to network namespaces.
ADDRESSES: Final = ("127.0.0.1", "::1", *(f"10.99.{net}.{host}" for net in range(4) for host in range(1, 5)))
DAY: Final = timedelta(days=1)
_LONG: Final = timedelta(days=3650)

CaKey = ec.EllipticCurvePrivateKey
LeafKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
LeafPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where one end-entity certificate lies: `chain` is the leaf and the issuing CA (PEM), `key` PKCS#8 PEM without password."""

    chain: Path
    key: Path

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf itself."""
        return x509.load_pem_x509_certificate(self.chain.read_bytes())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER leaf, hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True, slots=True)
class Authority:
    """One CA: its certificate (DIR/NAME.pem) and key (DIR/NAME.key)."""

    certificate: x509.Certificate
    key: CaKey


class Pki:
    """A test PKI in one directory. Files: root.pem, issuing.pem, other-root.pem, NAME.pem + NAME.key, *.crl, custody.pem."""

    def __init__(self, directory: Path, crl_url: str | None = None, now: datetime | None = None) -> None:
        self.directory = directory
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.crl_url = crl_url
        directory.mkdir(parents=True, exist_ok=True)
        self.root_ca = self._authority("root", None)
        self.issuing_ca = self._authority("issuing", self.root_ca)
        self.other_ca = self._authority("other-root", None)

    @classmethod
    def load(cls, directory: Path) -> Pki:
        """Return the PKI that lies in `directory`, made before."""
        pki = cls.__new__(cls)
        pki.directory, pki.crl_url, pki.now = directory, None, datetime.now(UTC).replace(microsecond=0)
        pki.root_ca, pki.issuing_ca, pki.other_ca = (_load_authority(directory, name) for name in ("root", "issuing", "other-root"))
        return pki

    @property
    def root(self) -> Path:
        """The trust anchor (PEM)."""
        return self.directory / "root.pem"

    @property
    def other_root(self) -> Path:
        """An unrelated trust anchor (PEM)."""
        return self.directory / "other-root.pem"

    @property
    def root_crl(self) -> Path:
        """Fresh CRL of the root: says that the issuing CA is good."""
        return self.directory / "root.crl"

    @property
    def crl(self) -> Path:
        """Fresh CRL of the issuing CA: revokes `pacs-revoked` and `ct1-revoked`."""
        return self.directory / "issuing.crl"

    @property
    def crls(self) -> tuple[Path, Path]:
        """What a verifier with `crl_policy = "require"` needs."""
        return self.root_crl, self.crl

    def leaf(self, name: str) -> Leaf:
        """Return the files of certificate `name`, such as `box-ecdsa` or `pacs-expired`."""
        return Leaf(self.directory / f"{name}.pem", self.directory / f"{name}.key")

    def issue(
        self,
        name: str,
        *,
        kind: str = "ecdsa",
        rsa_bits: int = 2048,
        dns: Sequence[str] = (),
        addresses: Iterable[str] = ADDRESSES,
        start: datetime | None = None,
        end: datetime | None = None,
        authority: Authority | None = None,
        usages: Sequence[x509.ObjectIdentifier] = (Usage.SERVER_AUTH, Usage.CLIENT_AUTH),
        key: LeafKey | None = None,
        public: LeafPublicKey | None = None,
        agrees: bool = False,
    ) -> Leaf:
        """Issue certificate `name` (by the issuing CA unless `authority` says otherwise) and write its files.

        With `public`, the key of a card or token, there is no key file. `agrees`: a key that makes or opens others' keys and signs nothing.
        """
        authority = authority or self.issuing_ca
        if key is None and public is None:
            key = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa.generate_private_key(65537, rsa_bits)
        names: list[x509.GeneralName] = [x509.DNSName(text) for text in dns]
        names += [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
        builder = (
            self._builder(name, authority.certificate.subject, key.public_key() if key else public, start, end)
            .issuer_name(authority.certificate.subject)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(
                _key_usage(authority=False, agrees=agrees, is_rsa=isinstance(key.public_key() if key else public, rsa.RSAPublicKey)), True
            )
            .add_extension(x509.ExtendedKeyUsage(usages), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        if self.crl_url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(self.crl_url)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
        certificate = builder.sign(authority.key, hashes.SHA256())
        leaf = self.leaf(name)
        leaf.chain.write_bytes(_pem(certificate) + _pem(authority.certificate))
        if key:
            _write_key(leaf.key, key)
        return leaf

    def write_crl(
        self,
        path: Path,
        revoked: Iterable[Leaf] = (),
        *,
        authority: Authority | None = None,
        signer: Authority | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Path:
        """Write a CRL (DER) of `authority` (the issuing CA) to `path`, replacing it atomically. `signer` other than it makes a forgery."""
        authority = authority or self.issuing_ca
        start = start or self.now - DAY
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.certificate.subject)
            .last_update(start)
            .next_update(end or self.now + 30 * DAY)
            .add_extension(x509.CRLNumber(int(start.timestamp())), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False)
        )
        for leaf in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(leaf.certificate.serial_number).revocation_date(start)
            builder = builder.add_revoked_certificate(entry.build())
        crl = builder.sign((signer or authority).key, hashes.SHA256())
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(crl.public_bytes(serialization.Encoding.DER))
        partial.replace(path)
        return path

    def _authority(self, name: str, parent: Authority | None) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(f"TEST ONLY {name} CA")
        builder = (
            self._builder(f"{name} CA", subject, key.public_key(), self.now - 400 * DAY, self.now + _LONG)
            .issuer_name(parent.certificate.subject if parent else subject)
            .add_extension(x509.BasicConstraints(True, 0 if parent else 1), True)
            .add_extension(_key_usage(authority=True), True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key((parent.key if parent else key).public_key()), False)
        )
        certificate = builder.sign(parent.key if parent else key, hashes.SHA256())
        (self.directory / f"{name}.pem").write_bytes(_pem(certificate))
        _write_key(self.directory / f"{name}.key", key)
        return Authority(certificate, key)

    def _builder(
        self, name: str, issuer: x509.Name, key: LeafPublicKey | None, start: datetime | None, end: datetime | None
    ) -> x509.CertificateBuilder:
        assert key is not None
        return (
            x509.CertificateBuilder()
            .subject_name(_subject(f"TEST ONLY {name}"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start or self.now - DAY)
            .not_valid_after(end or self.now + 365 * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        )


def make_test_pki(directory: Path | str, *, defects: bool = True, crl_url: str | None = None, now: datetime | None = None) -> Pki:
    """Make a whole test PKI in `directory` and return it; `defects` adds the bad certificates and CRLs.

    Good: {box,pacs,ct1}-{ecdsa,rsa}. Defective, as pacs- and ct1-: expired, future, other-ca, rsa1024, sha1 (needs `openssl`),
    wrong-name, revoked, wrong-usage. CRLs: root.crl, issuing.crl, issuing-stale.crl, issuing-wrong-signer.crl, issuing-clean.crl.
    `crl_url` becomes the distribution point of every leaf. Each leaf carries localhost, PARTY.test and `ADDRESSES`.
    """
    pki = Pki(Path(directory), crl_url, now)
    _write_key(pki.directory / "custody.pem", ed25519.Ed25519PrivateKey.generate())
    for party in PARTIES:
        for kind in KINDS:
            pki.issue(f"{party}-{kind}", kind=kind, dns=("localhost", f"{party}.test"))
    if defects:
        for party in ("pacs", "ct1"):
            _issue_defective(pki, party)
    revoked = [pki.leaf(f"{party}-revoked") for party in ("pacs", "ct1")] if defects else []
    pki.write_crl(pki.root_crl, authority=pki.root_ca)
    pki.write_crl(pki.crl, revoked)
    if defects:
        pki.write_crl(pki.directory / "issuing-clean.crl", [])
        pki.write_crl(pki.directory / "issuing-stale.crl", revoked, start=pki.now - 60 * DAY, end=pki.now - 30 * DAY)
        pki.write_crl(pki.directory / "issuing-wrong-signer.crl", [], signer=pki.other_ca)
    return pki


def _issue_defective(pki: Pki, party: str) -> None:
    dns = ("localhost", f"{party}.test")
    pki.issue(f"{party}-expired", dns=dns, start=pki.now - 30 * DAY, end=pki.now - DAY)
    pki.issue(f"{party}-future", dns=dns, start=pki.now + DAY)
    pki.issue(f"{party}-other-ca", dns=dns, authority=pki.other_ca)
    pki.issue(f"{party}-rsa1024", kind="rsa", rsa_bits=1024, dns=dns)
    pki.issue(f"{party}-wrong-name", dns=("somebody-else.test",), addresses=())
    pki.issue(f"{party}-revoked", dns=dns)
    pki.issue(f"{party}-wrong-usage", dns=dns, usages=(Usage.CODE_SIGNING,))
    _issue_sha1(pki, f"{party}-sha1", dns)


def _issue_sha1(pki: Pki, name: str, dns: Sequence[str]) -> None:
    """Sign with SHA-1 by the `openssl` command: `cryptography` no longer does. Without the command there is no such certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return
    leaf = pki.issue(name, dns=dns)
    key = serialization.load_pem_private_key(leaf.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = x509.CertificateSigningRequestBuilder().subject_name(leaf.certificate.subject)
    for extension in leaf.certificate.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            request = request.add_extension(extension.value, extension.critical)
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    directory = pki.directory
    command = [openssl, "x509", "-req", "-sha1", "-days", "365", "-copy_extensions", "copyall", "-set_serial", "0x5a1"]
    command += ["-CA", str(directory / "issuing.pem"), "-CAkey", str(directory / "issuing.key")]
    signed = subprocess.run(command, input=pem, capture_output=True, check=False)
    if signed.returncode == 0:
        leaf.chain.write_bytes(signed.stdout + _pem(pki.issuing_ca.certificate))
    else:
        leaf.chain.unlink()
        leaf.key.unlink()


def _load_authority(directory: Path, name: str) -> Authority:
    key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes()), key)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION), x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, authority: bool, agrees: bool = False, is_rsa: bool = False) -> x509.KeyUsage:
    # A key for TLS has no keyEncipherment: no profile that we serve transports keys under RSA.
    signs, opens = not authority and not agrees, agrees and is_rsa
    return x509.KeyUsage(signs, False, opens, False, agrees and not is_rsa, authority, authority, False, False)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: LeafKey | ed25519.Ed25519PrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wardtool pki ...`; return the exit status."""
    parser = argparse.ArgumentParser(prog="wardtool pki", description="test PKIs: keys lie in the open, never for patients' data")
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test", help="make a test PKI")
    test.add_argument("directory", type=Path)
    test.add_argument("--no-defects", action="store_true", help="good certificates only")
    test.add_argument("--crl-url", help="CRL distribution point of every leaf certificate")
    chosen = parser.parse_args(arguments)
    pki = make_test_pki(chosen.directory, defects=not chosen.no_defects, crl_url=chosen.crl_url)
    sys.stdout.write(
        f"TEST ONLY PKI in {pki.directory}: anchor root.pem, leaves " + " ".join(f"{p}-{k}" for p in PARTIES for k in KINDS) + "\n"
    )
    return 0
