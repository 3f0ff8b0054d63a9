"""The key service with a real SoftHSM token: signatures that others verify, and what it lists."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from support.keyservice import KeyService, over_softhsm
from support.processes import run
from support.softhsm import PIN, SoftHsm
from wardgate.codes import Code
from wardkeys.errors import KeyServiceError

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
KEYS = (("tls-ec", "p256"), ("tls-384", "p384"), ("rsa2", "rsa2048"), ("rsa4", "rsa4096"), ("log", "ed25519"), ("short", "rsa1024"))


@pytest.fixture(scope="module")
def service() -> Iterator[KeyService]:
    with over_softhsm(*KEYS) as made:
        yield made


def _uri(label: str) -> str:
    return f"pkcs11:token=ward-ct1;object={label};type=private"


CASES = [
    *((label, f"ecdsa-sha{bits}") for label in ("tls-ec", "tls-384") for bits in ("256", "384")),
    *((label, f"rsa-{kind}-sha{bits}") for label in ("rsa2", "rsa4") for kind in ("pkcs1", "pss") for bits in ("256", "384", "512")),
    ("log", "ed25519"),
]


@pytest.mark.parametrize("label, scheme", CASES)
def test_signatures_verify_with_cryptography(service: KeyService, label: str, scheme: str) -> None:
    message = b"a message of " + scheme.encode()
    bits = scheme[-3:]
    digest = message if scheme == "ed25519" else hashlib.new(f"sha{bits}", message).digest()
    signature = service.client.sign(_uri(label), scheme, digest)
    public = serialization.load_der_public_key(service.client.public(_uri(label)))
    if isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, message)
        return
    done = utils.Prehashed(HASHES[bits])
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, digest, ec.ECDSA(done))
        return
    assert isinstance(public, rsa.RSAPublicKey)
    how = padding.PKCS1v15() if "pkcs1" in scheme else padding.PSS(padding.MGF1(HASHES[bits]), len(digest))
    public.verify(signature, digest, how, done)


@pytest.mark.parametrize("label, scheme", [("tls-ec", "ecdsa-sha256"), ("rsa2", "rsa-pkcs1-sha384"), ("rsa4", "rsa-pss-sha256")])
def test_signatures_verify_with_openssl(service: KeyService, folder: Path, label: str, scheme: str) -> None:
    name = f"sha{scheme[-3:]}"
    (folder / "m").write_bytes(b"message")
    (folder / "s").write_bytes(service.client.sign(_uri(label), scheme, hashlib.new(name, b"message").digest()))
    (folder / "k").write_bytes(service.client.public(_uri(label)))
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if "pss" in scheme else []
    argv = ["openssl", "dgst", f"-{name}", "-verify", "k", "-keyform", "DER", *options, "-signature", "s", "m"]
    ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "Verified OK" in ended.stdout, ended.stderr


def test_a_hundred_ecdsa_signatures_are_all_good_der(service: KeyService) -> None:
    """r and s of some begin with zero bytes or a high bit."""
    public = serialization.load_der_public_key(service.client.public(_uri("tls-ec")))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    with service.client.link() as link:
        for number in range(100):
            digest = hashlib.sha256(bytes((number,))).digest()
            public.verify(link.sign(_uri("tls-ec"), "ecdsa-sha256", digest), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@pytest.mark.parametrize(
    "uri, scheme, length, code",
    [
        (_uri("tls-ec"), "rsa-pss-sha256", 32, Code.KEYS_SCHEME),
        (_uri("rsa2"), "ecdsa-sha256", 32, Code.KEYS_SCHEME),
        (_uri("tls-ec"), "ecdsa-md5", 16, Code.KEYS_SCHEME),
        (_uri("tls-ec"), "ecdsa-sha256", 20, Code.KEYS_DIGEST),
        (_uri("short"), "rsa-pss-sha256", 32, Code.KEYS_SCHEME),
        (_uri("none"), "ecdsa-sha256", 32, Code.KEYS_NO_KEY),
        ("pkcs11:token=other;object=tls-ec", "ecdsa-sha256", 32, Code.KEYS_NO_TOKEN),
        ("pkcs11:token=ward-ct1;serial=0;object=tls-ec", "ecdsa-sha256", 32, Code.KEYS_TOKEN_WRONG),
        ("pkcs11:token=ward-ct1", "ecdsa-sha256", 32, Code.KEYS_URI),
        (_uri("tls-ec") + "?pin-value=1234", "ecdsa-sha256", 32, Code.KEYS_URI),
        ("pkcs11:token=ward-ct1;object=tls-ec;type=public", "ecdsa-sha256", 32, Code.KEYS_URI),
    ],
)
def test_what_cannot_be_signed_is_refused_by_name(service: KeyService, uri: str, scheme: str, length: int, code: Code) -> None:
    with pytest.raises(KeyServiceError) as caught:
        service.client.sign(uri, scheme, bytes(length))
    assert caught.value.code is code


def test_the_list_names_keys_by_uris_that_work(service: KeyService) -> None:
    rows = [row for row in service.client.list("pkcs11:token=ward-ct1;type=private") if row["label"] != "short"]
    assert {(row["label"], row["algorithm"]) for row in rows} == {
        ("tls-ec", "p-256"),
        ("tls-384", "p-384"),
        ("rsa2", "rsa-2048"),
        ("rsa4", "rsa-4096"),
        ("log", "ed25519"),
    }
    assert not any(row["extractable"] for row in rows)
    for row in rows:
        assert service.client.public(row["uri"]) == service.client.public(_uri(row["label"]))
    assert service.client.list("pkcs11:token=other") == []


def test_random_numbers_come_from_the_token(service: KeyService) -> None:
    first, second = (service.client.random("pkcs11:token=ward-ct1", 32) for _ in range(2))
    assert len(first) == 32 and first != second
    for count in (0, 4097):
        with pytest.raises(KeyServiceError) as caught:
            service.client.random("pkcs11:token=ward-ct1", count)
        assert caught.value.code is Code.KEYS_WIRE


def test_keys_made_here_are_not_extractable_in_the_eyes_of_another_program(service: KeyService) -> None:
    hsm: SoftHsm = service.hsm  # type: ignore[attr-defined]
    argv = [
        "pkcs11-tool",
        "--module",
        hsm.module,
        "--token-label",
        "ward-ct1",
        "--login",
        "--pin",
        PIN,
        "--list-objects",
        "--type",
        "privkey",
    ]
    shown = run(argv, env=hsm.env).stdout
    assert shown.count("sensitive, always sensitive, never extractable, local") == len(KEYS), shown


def test_a_key_that_could_be_read_out_is_not_used(folder: Path) -> None:
    hsm = SoftHsm(folder)
    hsm.new_token("open")
    hsm.provision("open", ("soft", "p256-extractable"))
    for unsafe in (False, True):
        service = KeyService(folder, hsm.env)
        service.add_token("open", hsm.module, unsafe_allow_extractable=unsafe)
        try:
            service.start()
            if unsafe:
                assert service.client.sign("pkcs11:object=soft", "ecdsa-sha256", bytes(32))
                continue
            with pytest.raises(KeyServiceError) as caught:
                service.client.sign("pkcs11:object=soft", "ecdsa-sha256", bytes(32))
            assert caught.value.code is Code.KEYS_EXTRACTABLE
        finally:
            service.stop()


def test_a_certificate_is_found_by_the_keys_id_and_gives_its_public_key(folder: Path, pki: object) -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    hsm = SoftHsm(folder)
    hsm.new_token("card")
    hsm.provision("card", ("key", "p256"))
    issuer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = datetime.now(UTC)
    service = KeyService(folder, hsm.env)
    service.add_token("card", hsm.module)
    try:
        service.start()
        public = service.client.public("pkcs11:object=key")
        key = serialization.load_der_public_key(public)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        made = x509.CertificateBuilder(name, name, key, 1, now, now + timedelta(1)).sign(issuer, hashes.SHA256())
        der = made.public_bytes(serialization.Encoding.DER)
        hsm.add_certificate("card", "another label", b"\1", der)
        assert service.client.certificate("pkcs11:token=card;object=key") == der
        assert service.client.certificate("pkcs11:token=card;object=another%20label;type=cert") == der
        assert service.client.public("pkcs11:token=card;object=another%20label;id=%01") == public
        with pytest.raises(KeyServiceError) as caught:
            service.client.certificate("pkcs11:object=key;type=cert")
        assert caught.value.code is Code.KEYS_NO_KEY
    finally:
        service.stop()
