"""DER of signatures and keys, against `cryptography`."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from wardkeys import der

_BIG = st.integers(1, 2**384 - 1)


@given(_BIG, _BIG)
def test_a_signature_of_r_and_s_is_what_others_encode(r: int, s: int) -> None:
    assert der.ecdsa_signature(r.to_bytes(48, "big") + s.to_bytes(48, "big")) == utils.encode_dss_signature(r, s)


@pytest.mark.parametrize("raw", [b"", b"abc"])
def test_an_odd_signature_is_refused(raw: bytes) -> None:
    with pytest.raises(der.DerError):
        der.ecdsa_signature(raw)


def _spki(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def test_public_keys_are_encoded_as_others_do() -> None:
    for curve, oid in ((ec.SECP256R1(), der.OID_P256), (ec.SECP384R1(), der.OID_P384)):
        public = ec.generate_private_key(curve).public_key()
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        assert der.spki(der.OID_EC + oid, point) == _spki(public)
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    assert der.spki(der.OID_ED25519, edwards.public_bytes_raw()) == _spki(edwards)
    modulus = rsa.generate_private_key(65537, 2048).public_key()
    numbers = modulus.public_numbers()
    body = der.integer(numbers.n.to_bytes(256, "big")) + der.integer(b"\1\0\1")
    assert der.spki(der.OID_RSA + der.NULL, der.tlv(der.SEQUENCE, body)) == _spki(modulus)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_certificate_or_refused(raw: bytes) -> None:
    for read in (der.certificate_spki, der.octets):
        try:
            read(raw)
        except der.DerError:
            pass


@given(st.binary(max_size=300))
def test_an_octet_string_gives_its_content(raw: bytes) -> None:
    assert der.octets(der.tlv(der.OCTET_STRING, raw)) == raw
