"""What we want to know of a certificate, read once with `cryptography` (imported at first use: only TLS legs pay for it)."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.transport.errors import PeerRefused, ProfileNotMet

if TYPE_CHECKING:
    from cryptography import x509

    from wardgate.transport.profiles import Profile

_MAX_NAMES: Final = 64
_MAX_POINTS: Final = 8
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
MAX_CERTIFICATES: Final = 1000


class Facts(NamedTuple):
    """One certificate. Times in seconds since 1970, sizes in bits, names normalised (`normal_name`)."""

    certificate: x509.Certificate
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
    points: tuple[str, ...]  # URIs of CRL distribution points

    @property
    def who(self) -> str:
        """Short words for a log line: no personal data, the fingerprint tells which."""
        return f"certificate {self.fingerprint[:16]}"


def read_facts(der: bytes) -> Facts:
    """Read one DER certificate. Raises `PeerRefused` when it cannot be parsed."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        return _facts(certificate, hashlib.sha256(der).hexdigest())
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension) as error:
        raise PeerRefused(Code.CERTIFICATE_MALFORMED, str(error)[:120]) from error


def _facts(certificate: x509.Certificate, fingerprint: str) -> Facts:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    kind, bits = "unsupported", 0
    try:
        key = certificate.public_key()
        kind = type(key).__name__
        if isinstance(key, rsa.RSAPublicKey):
            kind, bits = "RSA", key.key_size
        elif isinstance(key, ec.EllipticCurvePublicKey):
            kind, bits = "EC", key.curve.key_size
    except (UnsupportedAlgorithm, ValueError):
        pass  # refused later as a weak key
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        digest = None
    extensions = certificate.extensions
    names: tuple[str, ...] = ()
    usages: frozenset[str] | None = None
    points: list[str] = []
    is_authority, signs_crls = False, True
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            found = [name.value for name in value if isinstance(name, x509.DNSName | x509.IPAddress)]
            names = tuple(normal_name(str(name)) for name in found[:_MAX_NAMES])
        elif isinstance(value, x509.ExtendedKeyUsage):
            usages = frozenset(usage.dotted_string for usage in value)
        elif isinstance(value, x509.BasicConstraints):
            is_authority = value.ca
        elif isinstance(value, x509.KeyUsage):
            signs_crls = value.crl_sign
        elif isinstance(value, x509.CRLDistributionPoints):
            for point in value:
                points += [name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier)]
    return Facts(
        certificate=certificate,
        fingerprint=fingerprint,
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        key_kind=kind,
        key_bits=bits,
        hash_bits=digest.digest_size * 8 if digest is not None else 0,
        names=names,
        usages=usages,
        is_authority=is_authority,
        signs_crls=signs_crls,
        issuer=certificate.issuer.public_bytes(),
        subject=certificate.subject.public_bytes(),
        points=tuple(points[:_MAX_POINTS]),
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
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        facts.certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


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
        return read_facts(pem_certificates(chain.read_text("ascii"))[0])
    except (OSError, ValueError, IndexError, PeerRefused) as error:
        raise ProfileNotMet(Code.OWN_CERTIFICATE_UNREADABLE, f"{chain}: no certificate in it") from error


def anchor_fingerprints(anchors: Path) -> frozenset[str]:
    """Return the SHA-256 fingerprints (hex) of all trust anchors in a PEM file. Raises `ProfileNotMet`."""
    try:
        found = frozenset(hashlib.sha256(der).hexdigest() for der in pem_certificates(anchors.read_text("utf-8", "replace")))
    except (OSError, ValueError) as error:
        raise ProfileNotMet(Code.ANCHORS_UNREADABLE, f"{anchors}: {error}") from error
    if not found:
        raise ProfileNotMet(Code.ANCHORS_UNREADABLE, f"{anchors}: no certificate in it")
    return found
