"""Certificates and revocation lists read by way of OpenSSL say what another implementation (Rust's `cryptography`) reads in them."""

from __future__ import annotations

import datetime
import ipaddress
import random
import ssl

import pytest
from cryptography import x509 as other
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wardgate.transport import x509
from wardgate.transport.chain import read_facts
from wardgate.transport.crllist import CrlList
from wardgate.transport.errors import PeerRefused

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_NOW = datetime.datetime(2026, 11, 30, 3, 0, tzinfo=datetime.UTC)
_RSA = rsa.generate_private_key(65537, 2048)
_P256 = ec.generate_private_key(ec.SECP256R1())
_P384 = ec.generate_private_key(ec.SECP384R1())
_ED = ed25519.Ed25519PrivateKey.generate()
_PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
_NAME = other.Name([other.NameAttribute(NameOID.ORGANIZATION_NAME, "Wärd"), other.NameAttribute(NameOID.COMMON_NAME, "TEST ONLY ca")])


def certificate(
    key: Key,
    *extensions: other.ExtensionType,
    signer: Key = _P256,
    digest: hashes.HashAlgorithm | None = None,
    serial: int = 0x80AB,
    end: int = 400,
    pss: bool = False,
) -> other.Certificate:
    subject = other.Name([other.NameAttribute(NameOID.COMMON_NAME, "TEST ONLY pacs")])
    builder = other.CertificateBuilder().subject_name(subject).issuer_name(_NAME).public_key(key.public_key()).serial_number(serial)
    builder = builder.not_valid_before(_NOW).not_valid_after(_NOW + datetime.timedelta(days=end))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    return builder.sign(signer, algorithm, rsa_padding=_PSS if pss else None)  # type: ignore[arg-type]


def usage(**words: bool) -> other.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign encipher_only"
    return other.KeyUsage(**{name: words.get(name, False) for name in [*names.split(), "decipher_only"]})


def points(*urls: str) -> other.CRLDistributionPoints:
    full = [[other.UniformResourceIdentifier(url)] for url in urls]
    return other.CRLDistributionPoints([other.DistributionPoint(name, None, None, None) for name in full])


_NAMES = other.SubjectAlternativeName(
    [
        other.DNSName("PACS.Example.org"),
        other.IPAddress(ipaddress.ip_address("10.1.2.3")),
        other.IPAddress(ipaddress.ip_address("2001:db8::1")),
        other.RFC822Name("who@example.org"),
        other.DirectoryName(_NAME),
        other.DNSName("b.example.org"),
    ]
)
CERTIFICATES = {
    "plain": certificate(_P256),
    "rsa": certificate(_RSA, other.BasicConstraints(ca=True, path_length=1), usage(key_cert_sign=True, crl_sign=True)),
    "no CRLs": certificate(_P384, other.BasicConstraints(ca=True, path_length=None), usage(key_cert_sign=True)),
    "names": certificate(_P256, _NAMES, usage(digital_signature=True)),
    "usages": certificate(
        _P256, other.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, other.ObjectIdentifier("1.2.840.10008.99999999.7")])
    ),
    "points": certificate(_P256, points("http://a.example.org/1.crl", "ldap://b/x"), other.BasicConstraints(ca=False, path_length=None)),
    "far": certificate(_P256, serial=(1 << 159) - 3, end=20000),
    "sha-384": certificate(_P256, digest=hashes.SHA384()),
    "by rsa": certificate(_P256, signer=_RSA, digest=hashes.SHA512()),
    "by pss": certificate(_P256, signer=_RSA, digest=hashes.SHA384(), pss=True),
    "by ed25519": certificate(_ED, signer=_ED),
}


def der(name: str) -> bytes:
    return CERTIFICATES[name].public_bytes(Encoding.DER)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_says_the_same_to_both_readers(name: str) -> None:
    theirs, ours = CERTIFICATES[name], x509.read(der(name))
    assert ours.serial == theirs.serial_number
    assert ours.not_before == theirs.not_valid_before_utc.timestamp()
    assert ours.not_after == theirs.not_valid_after_utc.timestamp()
    assert ours.issuer == theirs.issuer.public_bytes()
    assert ours.subject == theirs.subject.public_bytes()
    key = theirs.public_key()
    assert ours.spki == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kind, bits = {rsa.RSAPublicKey: "RSA", ec.EllipticCurvePublicKey: "EC"}, getattr(key, "key_size", 0)
    assert (ours.key_kind, ours.key_bits) == (next((word for each, word in kind.items() if isinstance(key, each)), "ED25519"), bits)
    digest = theirs.signature_hash_algorithm
    assert ours.hash_bits == (digest.digest_size * 8 if digest else 0)
    found = {type(each.value): each.value for each in theirs.extensions}
    alternative = found.get(other.SubjectAlternativeName, ())
    assert ours.names == tuple(str(each.value) for each in alternative if isinstance(each, other.DNSName | other.IPAddress))
    extended = found.get(other.ExtendedKeyUsage)
    assert ours.usages == (None if extended is None else frozenset(each.dotted_string for each in extended))
    assert ours.is_authority == (other.BasicConstraints in found and found[other.BasicConstraints].ca)
    assert ours.signs_crls == (other.KeyUsage not in found or found[other.KeyUsage].crl_sign)
    places = [name.value for point in found.get(other.CRLDistributionPoints, ()) for name in point.full_name]
    assert ours.points == tuple(places)


def test_only_the_key_that_signed_verifies() -> None:
    authority = {"rsa": _RSA, "ec": _P256, "ed": _ED}
    signers = {word: certificate(key).public_bytes(Encoding.DER) for word, key in authority.items()}
    for name, signer in (("plain", "ec"), ("by rsa", "rsa"), ("by pss", "rsa"), ("by ed25519", "ed")):
        assert [word for word, issuer in signers.items() if x509.signed_by(der(name), issuer)] == [signer]
        broken = bytearray(der(name))
        broken[-1] ^= 1
        assert not x509.signed_by(bytes(broken), signers[signer])


def test_a_curve_that_is_written_out_is_no_key_of_ours() -> None:
    import subprocess

    words = (
        "openssl ecparam -name prime256v1 -genkey -noout -param_enc explicit | openssl req -new -x509 -key /dev/stdin -subj /CN=x -days 9"
    )
    made = subprocess.run(["sh", "-c", words], capture_output=True, check=True).stdout
    assert x509.read(ssl.PEM_cert_to_DER_cert(made.decode())).key_kind == "unsupported"


@pytest.mark.parametrize(
    "extension",
    [
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x01"),  # a name that is cut
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.17"), b"\x30\x05\x87\x03\x0a\x00\x01"),  # an address of three bytes
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.17"), b"\x30\x04\x82\x02\xc3\xa4"),  # no ASCII
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.37"), b"\x04\x00"),
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.31"), b"\x30\x01"),
        other.UnrecognizedExtension(other.ObjectIdentifier("2.5.29.19"), b"\x30\x02\x01\x01"),
    ],
)
def test_an_extension_that_is_broken_refuses_the_certificate(extension: other.UnrecognizedExtension) -> None:
    with pytest.raises(PeerRefused):
        read_facts(certificate(_P256, extension).public_bytes(Encoding.DER))


def test_an_extension_that_is_there_twice_refuses_the_certificate() -> None:
    issuers = other.IssuerAlternativeName([other.DNSName("b.example.org")])
    once = certificate(_P256, _NAMES, issuers).public_bytes(Encoding.DER)
    assert "b.example.org" in read_facts(once).names
    with pytest.raises(PeerRefused, match=r"twice|cannot be read"):
        read_facts(once.replace(b"\x06\x03\x55\x1d\x12", b"\x06\x03\x55\x1d\x11"))


def test_bytes_behind_a_certificate_and_bytes_missing_are_refused() -> None:
    whole = der("names")
    for wrong in (whole + b"\0", whole[:-1], b"", b"\x30", whole[1:]):
        with pytest.raises(ValueError, match="certificate"):
            x509.read(wrong)


def test_damage_raises_one_kind_of_error_and_leaves_nothing_behind_for_tls() -> None:
    chance = random.Random(19)
    good = [der(name) for name in CERTIFICATES]
    refused = 0
    for _ in range(3000):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read_facts(bytes(data))
        except PeerRefused:
            refused += 1
    assert refused > 500
    from wardgate.transport import libcrypto

    assert not libcrypto.quick().ERR_peek_error()


# --- revocation lists


def crl(
    *serials: int, signer: Key = _P256, pss: bool = False, extension: other.ExtensionType | None = None, critical: bool = True
) -> other.CertificateRevocationList:
    builder = other.CertificateRevocationListBuilder().issuer_name(_NAME).last_update(_NOW)
    builder = builder.next_update(_NOW + datetime.timedelta(days=9))
    for serial in serials:
        entry = other.RevokedCertificateBuilder().serial_number(serial).revocation_date(_NOW)
        builder = builder.add_revoked_certificate(entry.add_extension(other.CRLReason(other.ReasonFlags.key_compromise), False).build())
    if extension is not None:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA384(), rsa_padding=_PSS if pss else None)  # type: ignore[arg-type]


def bytes_of(made: other.CertificateRevocationList) -> bytes:
    return made.public_bytes(Encoding.DER)


def scope(**words: object) -> other.IssuingDistributionPoint:
    usual: dict[str, object] = dict.fromkeys(("full_name", "relative_name", "only_some_reasons"))
    flags = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs")
    return other.IssuingDistributionPoint(**{**usual, **dict.fromkeys(flags, False), **words})  # type: ignore[arg-type]


def test_a_list_says_the_same_to_both_readers() -> None:
    theirs = crl(5, 1 << 100, extension=scope(full_name=[other.UniformResourceIdentifier("http://a/1")], only_contains_user_certs=True))
    for data in (bytes_of(theirs), b"a text before it\n" + theirs.public_bytes(Encoding.PEM)):
        ours = CrlList(data)
        assert ours.issuer == theirs.issuer.public_bytes() == x509.read(der("plain")).issuer
        assert ours.this_update == theirs.last_update_utc.timestamp()
        assert theirs.next_update_utc is not None
        assert ours.next_update == theirs.next_update_utc.timestamp()
        assert (ours.only_users, ours.only_authorities, ours.points, ours.hash_bits) == (True, False, {"http://a/1"}, 384)


def test_each_serial_of_a_list_is_found_and_no_other() -> None:
    chance = random.Random(5)
    serials = {chance.getrandbits(chance.choice((7, 8, 15, 16, 64, 127, 128, 159))) + 1 for _ in range(400)}
    theirs = crl(*serials)
    ours = CrlList(bytes_of(theirs))
    for serial in serials | {serial + 1 for serial in serials} | {serial << 8 for serial in serials} | {serial >> 8 for serial in serials}:
        assert ours.lists(serial) == (theirs.get_revoked_certificate_by_serial_number(serial) is not None), hex(serial)
    assert not CrlList(bytes_of(crl())).lists(5)


def test_a_serial_written_with_a_zero_too_many_is_found_all_the_same() -> None:
    data = bytes_of(crl(0x1234, 0x5678))
    at = data.index(bytes.fromhex("02021234"))
    padded = data[:at] + bytes.fromhex("0203001234") + data[at + 4 :]
    ours = CrlList(bytes_of(crl(0x1234)))
    assert ours.lists(0x1234)
    ours._tbs = padded
    ours._entries = (0, len(padded))
    assert ours.lists(0x1234)
    assert not ours.lists(0x1235)


def test_a_number_in_the_middle_of_an_entry_is_no_serial() -> None:
    text = other.UnrecognizedExtension(other.ObjectIdentifier("1.2.3"), b"\x02\x02\x12\x34\x17\x0d")
    entry = other.RevokedCertificateBuilder().serial_number(5).revocation_date(_NOW).add_extension(text, False).build()
    builder = other.CertificateRevocationListBuilder().issuer_name(_NAME).last_update(_NOW).next_update(_NOW + datetime.timedelta(days=9))
    ours = CrlList(bytes_of(builder.add_revoked_certificate(entry).sign(_P256, hashes.SHA256())))
    assert ours.lists(5)
    assert not ours.lists(0x1234)


def test_only_the_key_that_signed_a_list_verifies_it() -> None:
    authority = {"rsa": _RSA, "ec": _P256}
    issuers = {word: certificate(key).public_bytes(Encoding.DER) for word, key in authority.items()}
    for made, signer in ((crl(7), "ec"), (crl(7, signer=_RSA), "rsa"), (crl(7, signer=_RSA, pss=True), "rsa")):
        ours = CrlList(bytes_of(made))
        assert ours.hash_bits == 384
        assert [word for word, issuer in issuers.items() if ours.signed_with(issuer)] == [signer]
        broken = bytes_of(made).replace(b"\x02\x01\x07", b"\x02\x01\x06")
        assert not CrlList(broken).signed_with(issuers[signer])


@pytest.mark.parametrize(
    "made",
    [
        crl(7, extension=scope(indirect_crl=True, only_contains_user_certs=True)),
        crl(7, extension=scope(only_some_reasons=frozenset({other.ReasonFlags.key_compromise}))),
        crl(7, extension=scope(only_contains_attribute_certs=True)),
        crl(7, extension=scope(relative_name=other.RelativeDistinguishedName([other.NameAttribute(NameOID.COMMON_NAME, "x")]))),
        crl(7, extension=other.DeltaCRLIndicator(3)),
    ],
)
def test_lists_that_do_not_speak_for_all_reasons_and_entries_are_not_used(made: other.CertificateRevocationList) -> None:
    with pytest.raises(ValueError, match=r"not used|critical extension|no value with tag"):
        CrlList(bytes_of(made))


def test_an_extension_that_nobody_has_to_understand_does_no_harm() -> None:
    assert CrlList(bytes_of(crl(7, extension=other.CRLNumber(12), critical=False))).lists(7)


def test_a_damaged_list_raises_or_does_not_verify() -> None:
    chance = random.Random(23)
    good, issuer = bytes_of(crl(7, 9, 1 << 90, extension=scope(only_contains_ca_certs=True))), certificate(_P256).public_bytes(Encoding.DER)
    refused = unsigned = 0
    for _ in range(1500):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            ours = CrlList(bytes(data))
        except ValueError:
            refused += 1
        else:
            assert not ours.signed_with(issuer)
            unsigned += 1
    assert refused > 100
    assert unsigned > 100
