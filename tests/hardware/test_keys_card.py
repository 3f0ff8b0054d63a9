"""The key service with a card: real pcscd, real OpenSC, our card in software."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from support.card import CardFile, KeySlot, Slot, load_iscl, personalise
from support.keyservice import KeyService
from wardgate.codes import Code
from wardkeys.card.iscl import Kind, Purpose
from wardkeys.card.piv import Algorithm
from wardkeys.errors import KeyServiceError
from wardtools.pki import Leaf, Pki

MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so")
KEYS = {KeySlot.AUTHENTICATION: Algorithm.P256, KeySlot.SIGNATURE: Algorithm.P256, KeySlot.CARD_AUTHENTICATION: Algorithm.RSA_2048}
SERIAL = "00c0ffee00000001"
TLS = f"pkcs11:serial={SERIAL};id=%01;type=private"
RSA = f"pkcs11:serial={SERIAL};id=%04;type=private"
DIGEST = hashlib.sha256(b"message").digest()


class Rig:
    def __init__(self, folder: Path, slot: Slot, pki: Pki, module: str) -> None:
        self.folder, self.slot, self.pki = folder, slot, pki
        self.leaves: dict[KeySlot, Leaf] = personalise(slot.card, pki, "ct1-card", KEYS)
        self.service = KeyService(folder, {}, request_seconds=10.0)
        self.module = module

    def start(self, pin: str = "123456", **words: object) -> KeyService:
        self.service.add_token("ct1", self.module, "TEST ONLY ct1-card-9a", pin, serial=SERIAL, **words)
        self.service.start()
        return self.service


@pytest.fixture
def rig(folder: Path, slot: Slot, pki: Pki) -> Iterator[Rig]:
    found = [path for path in MODULES if Path(path).exists()]
    if not found:
        pytest.skip("not installed: opensc-pkcs11")
    made = Rig(folder, slot, pki, found[0])
    yield made
    made.service.stop()
    slot.remove()


def _code(action: Callable[[], object]) -> Code:
    with pytest.raises(KeyServiceError) as caught:
        action()
    return caught.value.code


def test_a_card_signs_for_tls_and_gives_its_certificate(rig: Rig) -> None:
    rig.slot.insert()
    service = rig.start()
    service.until_state("ct1", "present")
    leaf = rig.leaves[KeySlot.AUTHENTICATION].certificate
    assert service.client.certificate(TLS) == leaf.public_bytes(serialization.Encoding.DER)
    key = serialization.load_der_public_key(service.client.public(TLS))
    assert isinstance(key, ec.EllipticCurvePublicKey) and key == leaf.public_key()
    key.verify(service.client.sign(TLS, "ecdsa-sha256", DIGEST), DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    other = serialization.load_der_public_key(service.client.public(RSA))
    assert isinstance(other, rsa.RSAPublicKey)
    done = utils.Prehashed(hashes.SHA256())
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    other.verify(service.client.sign(RSA, "rsa-pss-sha256", DIGEST), DIGEST, pss, done)
    other.verify(service.client.sign(RSA, "rsa-pkcs1-sha256", DIGEST), DIGEST, padding.PKCS1v15(), done)


def test_a_card_that_is_pulled_and_returned_works_again_without_a_restart(rig: Rig) -> None:
    service = rig.start()
    assert service.state("ct1") == "absent"
    assert _code(lambda: service.client.sign(TLS, "ecdsa-sha256", DIGEST)) is Code.KEYS_TOKEN_ABSENT
    for _ in range(3):
        rig.slot.insert()
        service.until_state("ct1", "present")
        assert service.client.sign(TLS, "ecdsa-sha256", DIGEST)
        rig.slot.remove()
        # FAILED only where pcscd needs longer than 0.8 s to see that the card is out: on a busy machine.
        assert _code(lambda: service.client.sign(TLS, "ecdsa-sha256", DIGEST)) in (Code.KEYS_TOKEN_ABSENT, Code.KEYS_TOKEN_FAILED)
        service.until_state("ct1", "absent")


def test_another_card_is_wrong_by_name_and_its_pin_is_not_tried(rig: Rig) -> None:
    other = CardFile(rig.folder / "other", serial=bytes.fromhex("00c0ffee00000002"))
    personalise(other, rig.pki, "ct2-card", KEYS)
    rig.slot.insert()
    service = rig.start()
    service.until_state("ct1", "present")
    rig.slot.swap(other)
    service.until_state("ct1", "wrong")
    assert "ct2-card" in str(service.row("ct1")["detail"])
    assert _code(lambda: service.client.sign(TLS, "ecdsa-sha256", DIGEST)) is Code.KEYS_TOKEN_WRONG


def test_a_wrong_pin_costs_the_card_one_try_and_the_rest_is_shown(rig: Rig) -> None:
    rig.slot.insert()
    service = rig.start(pin="999999")
    service.until_state("ct1", "pin-refused")
    assert rig.slot.card.state.pin.tries == 2
    assert service.row("ct1")["tries"] == 2
    service.stop()
    service.start()
    assert service.state("ct1") == "pin-refused"
    assert rig.slot.card.state.pin.tries == 2


def test_a_card_that_two_sections_mean_loses_one_try_to_a_wrong_pin(rig: Rig) -> None:
    """Its PIV keys by OpenSC and its ISCL application: one card, one PIN, and the same mistake in two files."""
    load_iscl(rig.slot.card, {(Purpose.TO_CLIENT, 1): (Kind.DES, bytes.fromhex("FEDCBA9876543210"))})
    rig.slot.insert()
    rig.service.add_token("iscl", "iscl-card", "ward-ct1", "999999")
    service = rig.start(pin="999999")
    for _ in range(2):  # a restart forgets nothing
        for name in ("ct1", "iscl"):
            service.until_state(name, "pin-refused")
        assert rig.slot.card.state.pin.tries == 2
        service.stop()
        service.start()
    for name in ("ct1", "iscl"):
        service.set_pin(name, "123456")
    service.reload()
    for name in ("ct1", "iscl"):
        service.until_state(name, "present")
    assert rig.slot.card.state.pin.tries == 3


def test_a_key_that_wants_the_pin_each_time_is_refused_by_name(rig: Rig) -> None:
    rig.slot.insert()
    service = rig.start()
    service.until_state("ct1", "present")
    assert _code(lambda: service.client.sign("pkcs11:id=%02;type=private", "ecdsa-sha256", DIGEST)) is Code.KEYS_TOKEN_REFUSED
