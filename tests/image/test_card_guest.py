"""The virtual card in QEMU's USB reader (VSCARD), used by a guest's stock pcscd, driver and OpenSC; a signature is judged outside."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from support.card import CardFile, KeySlot, personalise
from support.cardguest import CardGuest, missing
from virtualcard.state import FACTORY_PIN
from wardkeys.card.piv import Algorithm
from wardtools.pki import Pki


def _assert_signed(certificate: x509.Certificate, digest: bytes, text: str) -> None:
    raw = base64.b64decode(text)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and len(raw) == 64
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))


@pytest.mark.alone
@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_a_guest_lists_the_card_and_signs_with_it_also_after_it_was_pulled_and_returned(folder: Path, pki: Pki, card: CardFile) -> None:
    if reason := missing():
        pytest.skip(reason)
    leaf = personalise(card, pki, "ct1-guest", {KeySlot.AUTHENTICATION: Algorithm.P256})[KeySlot.AUTHENTICATION]
    digest = os.urandom(32)
    with CardGuest(folder, digest, FACTORY_PIN.rstrip(b"\xff")) as guest:
        front = guest.insert(card)
        guest.until_says("pull")
        front.remove()
        guest.until_says("insert")
        guest.insert(card)
        guest.until_says("ended")
        slots, objects = guest.part("slots"), guest.part("objects")
        assert "Gemplus USB SmartCard Reader" in slots and "TEST ONLY ct1-guest-9a" in slots and "00c0ffee00000001" in slots
        assert "Private EC Key" in objects and "X.509 Certificate [" in objects
        shown = x509.load_pem_x509_certificate(guest.part("certificate").encode())
        assert shown == leaf.certificate
        for turn in ("first", "second"):
            guest.part(turn)
            _assert_signed(leaf.certificate, digest, guest.part(f"{turn}-signature"))
