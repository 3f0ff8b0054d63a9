"""What we want to know of a certificate, read once, and how we judge its strength."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.transport import x509
from wardgate.transport.errors import PeerRefused, ProfileNotMet

if TYPE_CHECKING:
    from wardgate.transport.profiles import Profile

_MAX_NAMES: Final = 64
_MAX_POINTS: Final = 8
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
MAX_CERTIFICATES: Final = 1000


class Facts(NamedTuple):
    """One certificate. Times in seconds since 1970, sizes in bits, names normalised (`normal_name`)."""

    der: bytes
    fingerprint: str  # SHA-256 of the DER, hex
    serial: int
    not_before: float
    not_after: float
    key_kind: str  # RSA, EC or the name of the class
    key_bits: int
    hash_bits: int  # of the digest under the signature; 0 when there is none
    names: tuple[str, ...]  # dNSName and iPAddress of subjectAltName; the common name is no name
    usages: frozenset[str] | None  # dotted OIDs of extendedKeyUsage; None: any
    is_authority: bool
    signs_crls: bool
    issuer: bytes  # DER name
    subject: bytes  # DER name
    spki: bytes  # SubjectPublicKeyInfo, DER
    points: tuple[str, ...]  # URIs of CRL distribution points

    @property
    def who(self) -> str:
        """Short words for a log line: no personal data, the fingerprint tells which."""
        return f"certificate {self.fingerprint[:16]}"


def read_facts(der: bytes) -> Facts:
    """Read one DER certificate. Raises `PeerRefused` when it cannot be parsed."""
    try:
        read = x509.read(der)
    except ValueError as error:
        raise PeerRefused(Code.CERTIFICATE_MALFORMED, str(error)[:120]) from error
    return Facts(
        der=der,
        fingerprint=hashlib.sha256(der).hexdigest(),
        serial=read.serial,
        not_before=read.not_before,
        not_after=read.not_after,
        key_kind=read.key_kind,
        key_bits=read.key_bits,
        hash_bits=read.hash_bits,
        names=tuple(normal_name(name) for name in read.names[:_MAX_NAMES]),
        usages=read.usages,
        is_authority=read.is_authority,
        signs_crls=read.signs_crls,
        issuer=read.issuer,
        subject=read.subject,
        spki=read.spki,
        points=read.points[:_MAX_POINTS],
    )


def weakness(facts: Facts, profile: Profile, *, anchor: bool = False) -> tuple[Code, str] | None:
    """Return what makes a certificate too weak for `profile`: key kind and size, and the hash of its signature (not of an anchor's)."""
    floor = {"RSA": profile.rsa_bits, "EC": profile.ec_bits}.get(facts.key_kind)
    if floor is None or facts.key_bits < floor:
        return Code.CERTIFICATE_KEY_WEAK, f"{facts.who}: {facts.key_kind} {facts.key_bits} bits"
    if not anchor and facts.hash_bits < profile.hash_bits:
        return Code.CERTIFICATE_HASH_WEAK, f"{facts.who}: digest of {facts.hash_bits} bits"
    return None


def issued_by(facts: Facts, issuer: Facts) -> bool:
    """Whether `issuer` really signed the certificate (name and signature)."""
    return facts.issuer == issuer.subject and x509.signed_by(facts.der, issuer.der)


def normal_name(text: str) -> str:
    """Return a DNS name in lower case without its last dot, or an IP address in its one short form."""
    import ipaddress

    text = text.strip().lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return text


def pem_certificates(text: str) -> list[bytes]:
    """Return the certificates of a PEM file, DER, at most 1000. Raises `ValueError`."""
    found = []
    for block in text.split(_BEGIN)[1 : MAX_CERTIFICATES + 1]:
        found.append(ssl.PEM_cert_to_DER_cert(_BEGIN + block.partition(_END)[0] + _END + "\n"))
    return found


def first_certificate(chain: Path) -> Facts:
    """Return the leaf of a chain file (PEM). Raises `ProfileNotMet`."""
    try:
        return read_facts(pem_certificates(chain.read_text("utf-8", "replace"))[0])
    except (OSError, ValueError, IndexError, PeerRefused) as error:
        raise ProfileNotMet(Code.OWN_CERTIFICATE_UNREADABLE, f"{chain}: no certificate in it") from error


def anchor_certificates(anchors: Path) -> dict[str, bytes]:
    """Return all trust anchors in a PEM file, DER, by SHA-256 fingerprint (hex). Raises `ProfileNotMet`."""
    try:
        found = {hashlib.sha256(der).hexdigest(): der for der in pem_certificates(anchors.read_text("utf-8", "replace"))}
    except (OSError, ValueError) as error:
        raise ProfileNotMet(Code.ANCHORS_UNREADABLE, f"{anchors}: {error}") from error
    if not found:
        raise ProfileNotMet(Code.ANCHORS_UNREADABLE, f"{anchors}: no certificate in it")
    return found
