"""`new-key`, `csr`, `install-cert`: a key made on the card, the request signed by it, the certificate that comes back."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wardgate.codes import Code
from wardkeys.card.errors import CardError
from wardkeys.card.piv import Slot
from wardkeys.card.publickey import PublicKey, algorithm_of, public_key
from wardtools.card import desk
from wardtools.card.sealed import card_key
from wardtools.card.work import ALGORITHMS, SLOTS, Work, agreeing

_PLACEHOLDER_DAYS: Final = 3650


def new_key(work: Work, options: argparse.Namespace) -> int:
    """Make a key pair in a slot, with a certificate signed by itself until the real one comes: OpenSC shows no key without one."""
    slot, algorithm = SLOTS[options.slot], ALGORITHMS[options.algorithm]
    management = desk.stored_key(options.management_key)
    if not work.surely_empty(slot):
        what = f"Slot {options.slot} of the card in {work.reader} has a key or certificate{_subject_of(work, slot)}. It will be destroyed."
        _confirmed(work, what, options)
    pin = _pin(work, slot, options)
    if pin:
        work.piv.verify(pin)  # a wrong one is found out before anything is destroyed
    work.piv.authenticate(management)
    sys.stderr.write("the card makes a key; with RSA this can take a minute\n")
    public = public_key(algorithm, work.piv.generate(slot, algorithm))
    certificate = _placeholder(work, slot, public, pin, options.name)
    _again(work, slot, pin)
    if not work.proves(slot, public):
        raise CardError(Code.CARD_MISMATCH, "the new key does not go with its own public key")
    work.piv.put_certificate(slot, certificate.public_bytes(serialization.Encoding.DER))
    print(f"slot {options.slot}: new key {_kind(public)}, {_spki(public)}, with a certificate of its own; {_next(slot, public)}")
    return 0


def _next(slot: Slot, public: PublicKey) -> str:
    if agreeing(slot, public) is not None:
        return "it agrees on keys (hold.key of the box) and needs no other"
    return "next: wardtool card csr"


def _placeholder(work: Work, slot: Slot, public: PublicKey, pin: bytes, common_name: str) -> x509.Certificate:
    """Return a certificate for the key: signed by itself, or, as it signs nothing, by a key that is thrown away."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_PLACEHOLDER_DAYS))
        .add_extension(x509.BasicConstraints(False, None), True)
    )
    curve_key = agreeing(slot, public)
    if curve_key is not None:  # OpenSC lets a key agree when its certificate says so (RFC 5280 4.2.1.3)
        usage = x509.KeyUsage(False, False, False, False, True, False, False, False, False)
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "placeholder of wardtool, no authority")]))
        return builder.add_extension(usage, True).sign(ec.generate_private_key(curve_key.curve), _hash_for(public))
    return builder.issuer_name(name).sign(card_key(work.piv, slot, public, lambda: _again(work, slot, pin)), _hash_for(public))


def csr(work: Work, options: argparse.Namespace) -> int:
    """Write a PKCS#10 request for the key in a slot, signed by the card."""
    slot = SLOTS[options.slot]
    held = work.certificate(slot)
    if held is None:
        raise CardError(Code.CARD_EMPTY, f"slot {options.slot} has no certificate; make a key with new-key")
    public = _public_of(held)
    if agreeing(slot, public) is not None:
        raise CardError(Code.CARD_INPUT, f"the key in slot {options.slot} agrees on keys and signs no request; its own certificate will do")
    pin = _pin(work, slot, options)
    _again(work, slot, pin)
    if not work.proves(slot, public):
        raise CardError(
            Code.CARD_MISMATCH, f"the certificate in slot {options.slot} is not of the key there; new-key was cut off? repeat it"
        )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, options.name)]) if options.name else held.subject
    names: list[x509.GeneralName] = [x509.DNSName(text) for text in options.dns]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in options.ip]
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    request = builder.sign(card_key(work.piv, slot, public, lambda: _again(work, slot, pin)), _hash_for(public))
    desk.store(options.out, request.public_bytes(serialization.Encoding.PEM))
    print(f"{options.out}: request for {subject.rfc4514_string()}, key {_kind(public)}, {_spki(public)}")
    return 0


def install_cert(work: Work, options: argparse.Namespace) -> int:
    """Put a certificate into a slot, after the key there has proved that it belongs to it."""
    slot = SLOTS[options.slot]
    certificate = _certificate(options)
    public = _public_of(certificate)
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise CardError(Code.CARD_INPUT, f"the certificate expired {certificate.not_valid_after_utc:%Y-%m-%d}")
    held = work.certificate(slot)
    if held is not None and held.issuer != held.subject and held != certificate:
        what = f"Slot {options.slot} has a certificate{_subject_of(work, slot)}. It will be replaced."
        _confirmed(work, what, options)
    pin = _pin(work, slot, options)
    _again(work, slot, pin)
    if not work.proves(slot, public):
        raise CardError(Code.CARD_MISMATCH, f"the key in slot {options.slot} does not go with the certificate's public key")
    work.piv.authenticate(desk.stored_key(options.management_key))
    work.piv.put_certificate(slot, certificate.public_bytes(serialization.Encoding.DER))
    if work.certificate(slot) != certificate:
        raise CardError(Code.CARD_ANSWER, "the card gives back another certificate than it was given")
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    print(
        f"slot {options.slot}: {certificate.subject.rfc4514_string()}, issued by {certificate.issuer.rfc4514_string()}, valid until {until}"
    )
    return 0


def _confirmed(work: Work, what: str, options: argparse.Namespace) -> None:
    name = work.name()
    with work.aside():
        desk.confirm(what, name, yes=options.yes)


def _pin(work: Work, slot: Slot, options: argparse.Namespace) -> bytes:
    if slot is Slot.CARD_AUTHENTICATION:
        return b""
    with work.aside():
        return desk.secret("PIN", options.pin_file)


def _again(work: Work, slot: Slot, pin: bytes) -> None:
    if slot is not Slot.CARD_AUTHENTICATION:
        work.piv.verify(pin)


def _certificate(options: argparse.Namespace) -> x509.Certificate:
    content = desk.read(options.certificate)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)  # of a chain: the first, which is the leaf
        return x509.load_der_x509_certificate(content)
    except ValueError as error:
        raise CardError(Code.CARD_INPUT, f"{options.certificate}: no certificate") from error


def _public_of(certificate: x509.Certificate) -> PublicKey:
    public = certificate.public_key()
    algorithm_of(public)
    return public  # type: ignore[return-value]


def _hash_for(public: PublicKey) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if isinstance(public, ec.EllipticCurvePublicKey) and public.key_size == 384 else hashes.SHA256()


def _kind(public: PublicKey) -> str:
    return next(name for name, algorithm in ALGORITHMS.items() if algorithm is algorithm_of(public))


def _spki(public: PublicKey) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return f"SPKI SHA-256 {digest.finalize().hex()[:32]}..."


def _subject_of(work: Work, slot: Slot) -> str:
    held = work.certificate(slot)
    return f" ({held.subject.rfc4514_string()}, until {held.not_valid_after_utc:%Y-%m-%d})" if held else ""
