"""Stock OpenSC lists and uses the virtual card through a real pcscd. OpenSSL judges the signatures."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from support.card import KeySlot, Slot, personalise, until_present
from support.processes import run
from wardkeys.card.piv import Algorithm
from wardtools.pki import Leaf, Pki

MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so")
KEYS = {KeySlot.AUTHENTICATION: Algorithm.RSA_2048, KeySlot.SIGNATURE: Algorithm.P256, KeySlot.CARD_AUTHENTICATION: Algorithm.P384}
IDS = {KeySlot.AUTHENTICATION: "01", KeySlot.SIGNATURE: "02", KeySlot.CARD_AUTHENTICATION: "04"}
PIN = "123456"


@pytest.fixture(scope="module")
def module() -> str:
    found = [path for path in MODULES if Path(path).exists()]
    if not found or not shutil.which("pkcs11-tool") or not shutil.which("pkcs15-tool"):
        pytest.skip("not installed: opensc, opensc-pkcs11")
    return found[0]


@pytest.fixture
def leaves(module: str, slot: Slot, pki: Pki) -> Iterator[dict[KeySlot, Leaf]]:
    made = personalise(slot.card, pki, "ct1-card", KEYS)
    slot.insert()
    until_present(slot)
    yield made
    slot.remove()
    until_present(slot, False)


def sign(module: str, folder: Path, key: KeySlot, mechanism: str, *options: str) -> str:
    (folder / "message").write_bytes(b"a message")
    command = ["pkcs11-tool", "--module", module, "--login", "--pin", PIN, "--sign", "-m", mechanism, "--id", IDS[key], *options]
    ended = run([*command, "-i", folder / "message", "-o", folder / "signature"])
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def judged(folder: Path, leaf: Leaf, digest: str, *options: str) -> bool:
    public = leaf.certificate.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    command = ["openssl", "dgst", f"-{digest}", *options, "-verify", folder / "public.pem", "-signature", folder / "signature"]
    return "Verified OK" in run([*command, folder / "message"]).stdout


def test_pkcs15_tool_lists_keys_pin_and_certificates(leaves: dict[KeySlot, Leaf]) -> None:
    text = run(["pkcs15-tool", "-D"]).stdout
    assert "PKCS#15 Card [TEST ONLY ct1-card-9a]" in text and "00c0ffee00000001" in text
    assert text.count("Private RSA Key") == 1 and text.count("Private EC Key") == 2 and text.count("X.509 Certificate [") == 3
    assert "PIN [PIN]" in text


def test_pkcs11_tool_says_that_no_key_can_be_taken_out(leaves: dict[KeySlot, Leaf], module: str) -> None:
    slots = run(["pkcs11-tool", "--module", module, "-L"]).stdout
    assert "TEST ONLY ct1-card-9a" in slots and "serial num         : 00c0ffee00000001" in slots
    keys = run(["pkcs11-tool", "--module", module, "--login", "--pin", PIN, "-O", "--type", "privkey"]).stdout
    assert keys.count("Private Key Object") == 3
    assert keys.count("sensitive, always sensitive, never extractable, local") == 3


def test_rsa_pkcs1_and_pss_signatures(leaves: dict[KeySlot, Leaf], module: str, folder: Path) -> None:
    leaf = leaves[KeySlot.AUTHENTICATION]
    for digest in ("sha256", "sha384", "sha512"):
        sign(module, folder, KeySlot.AUTHENTICATION, f"{digest.upper()}-RSA-PKCS")
        assert judged(folder, leaf, digest)
    sign(module, folder, KeySlot.AUTHENTICATION, "SHA256-RSA-PKCS-PSS")
    assert judged(folder, leaf, "sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")
    assert not judged(folder, leaf, "sha256"), "a PSS signature is no PKCS#1 v1.5 one"


def test_ecdsa_signatures_of_both_curves(leaves: dict[KeySlot, Leaf], module: str, folder: Path) -> None:
    for key, digest in ((KeySlot.SIGNATURE, "sha256"), (KeySlot.CARD_AUTHENTICATION, "sha384"), (KeySlot.CARD_AUTHENTICATION, "sha256")):
        sign(module, folder, key, f"ECDSA-{digest.upper()}", "--signature-format", "openssl")
        assert judged(folder, leaves[key], digest), (key, digest)


def test_a_wrong_pin_is_counted_by_the_card(leaves: dict[KeySlot, Leaf], module: str, slot: Slot) -> None:
    ended = run(["pkcs11-tool", "--module", module, "--login", "--pin", "999999", "-O"])
    assert ended.returncode != 0 and "CKR_PIN_INCORRECT" in ended.stdout
    assert slot.card.state.pin.tries == 2
    run(["pkcs11-tool", "--module", module, "--login", "--pin", PIN, "-O"])
    assert slot.card.state.pin.tries == 3


def test_the_pin_is_changed_with_pkcs11_tool(leaves: dict[KeySlot, Leaf], module: str, slot: Slot) -> None:
    ended = run(["pkcs11-tool", "--module", module, "--login", "--pin", PIN, "--change-pin", "--new-pin", "654321"])
    assert ended.returncode == 0, ended.stdout
    assert slot.card.state.pin.value == b"654321"


def test_opensc_tests_the_whole_card_without_complaint(leaves: dict[KeySlot, Leaf], module: str) -> None:
    ended = run(["pkcs11-tool", "--module", module, "--login", "--pin", PIN, "--test"])
    assert ended.returncode == 0 and "No errors" in ended.stdout, ended.stdout


def test_opensc_and_the_iscl_application_share_the_card(leaves: dict[KeySlot, Leaf], module: str, folder: Path, slot: Slot) -> None:
    """Another client selects the ISCL application while a PKCS#11 session is open: the session selects and logs in again by itself."""
    program = folder / "both.py"
    program.write_text(_BOTH)
    path = ":".join(str(Path(__file__).resolve().parents[2] / part) for part in ("firmware", "hsm", "tests"))
    ended = run([sys.executable, program, module, slot.name], env={"PYTHONPATH": path})
    assert ended.returncode == 0 and ended.stdout.split() == ["signed", "iscl", "signed", "iscl", "signed"], ended.stdout


_BOTH = """
import ctypes as c, sys
from wardkeys.card.channel import Channel
from wardkeys.card.iscl import IsclCard
from wardkeys.pcsc import Pcsc

p11 = c.CDLL(sys.argv[1])
ok = lambda name, *args: (lambda rv: rv and sys.exit(f"{name} {rv:#x}"))(getattr(p11, name)(*args))
ulong = c.c_ulong


class Attribute(c.Structure):
    _fields_ = [("type", ulong), ("value", c.c_void_p), ("length", ulong)]


class Mechanism(c.Structure):
    _fields_ = [("type", ulong), ("value", c.c_void_p), ("length", ulong)]


ok("C_Initialize", None)
count, slots = ulong(16), (ulong * 16)()
ok("C_GetSlotList", c.c_ubyte(1), slots, c.byref(count))
session = ulong()
ok("C_OpenSession", slots[0], ulong(4), None, None, c.byref(session))
ok("C_Login", session, ulong(1), b"123456", ulong(6))
kind, key_id = ulong(3), c.create_string_buffer(b"\\x01", 1)
template = (Attribute * 2)(Attribute(0, c.cast(c.byref(kind), c.c_void_p), 8), Attribute(0x102, c.cast(key_id, c.c_void_p), 1))
ok("C_FindObjectsInit", session, template, ulong(2))
key, found = ulong(), ulong()
ok("C_FindObjects", session, c.byref(key), ulong(1), c.byref(found))
ok("C_FindObjectsFinal", session)


def sign():
    ok("C_SignInit", session, c.byref(Mechanism(0x40, None, 0)), key)
    length = ulong(512)
    ok("C_Sign", session, b"a message", ulong(9), c.create_string_buffer(512), c.byref(length))
    print("signed", flush=True)


def iscl():
    with Pcsc() as pcsc, pcsc.connect(sys.argv[2]) as connection:
        with connection.transaction():
            card = IsclCard(Channel(connection.transmit))
            card.select()
            card.verify(b"123456")
            assert len(card.challenge()) == 8
        connection.disconnect(reset=False)
    print("iscl", flush=True)


sign(), iscl(), sign(), iscl(), sign()
"""
