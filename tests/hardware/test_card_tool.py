"""`wardtool card` as a person runs it, on a virtual card in a reader of a real pcscd."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509

from support.card import CardFile, Slot, until_present
from support.processes import run
from wardgate.hold.statement import Named, NotAuthorized, read_signed, statement
from wardkeys.pcsc import Pcsc
from wardtools.pki import DAY, Leaf, Pki

ROOT = Path(__file__).resolve().parents[2]
SERIAL = "00c0ffee00000001"
PATH = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm", "tools"))}


class Desk:
    """A folder with the files that a person has, and the tool."""

    def __init__(self, folder: Path, slot: Slot) -> None:
        self.folder, self.slot = folder, slot
        for name, value in (("pin", "471108"), ("puk", "31415926"), ("wrong", "000001")):
            (folder / name).write_text(value + "\n")

    @property
    def card(self) -> CardFile:
        return self.slot.card

    def tool(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `wardtool card`."""
        return run([sys.executable, "-m", "wardtools.main", "card", *words], env=PATH)

    def good(self, *words: str | Path) -> str:
        """Run `wardtool card`; it must succeed."""
        ended = self.tool(*words)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def init(self) -> str:
        """Wipe the card and give it the secrets in the files."""
        (self.folder / "admin").unlink(missing_ok=True)
        words = ("--new-pin-file", self.folder / "pin", "--new-puk-file", self.folder / "puk")
        return self.good("init", "--yes", *words, "--management-key-out", self.folder / "admin")

    def pin(self) -> tuple[str | Path, ...]:
        """The words for the PIN."""
        return ("--pin-file", self.folder / "pin")

    def both(self) -> tuple[str | Path, ...]:
        """The words for PIN and management key."""
        return (*self.pin(), "--management-key", self.folder / "admin")

    def request(self, slot: str = "9a", **options: str) -> x509.CertificateSigningRequest:
        """Write a request and read it."""
        out = self.folder / f"{slot}.csr"
        out.unlink(missing_ok=True)
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.good("csr", *self.pin(), "--slot", slot, *words, out)
        return x509.load_pem_x509_csr(out.read_bytes())

    def certify(self, pki: Pki, request: x509.CertificateSigningRequest, name: str = "ct1-tool", **settings: object) -> Leaf:
        """Be the CA."""
        return pki.issue(name, public=request.public_key(), **settings)  # type: ignore[arg-type]


@pytest.fixture
def desk(folder: Path, slot: Slot) -> Iterator[Desk]:
    slot.insert()
    until_present(slot)
    yield Desk(folder, slot)
    slot.remove()
    until_present(slot, False)


def test_a_whole_personalisation(desk: Desk, pki: Pki) -> None:
    text = desk.good("list")
    assert f"serial {SERIAL}, PIN 3 tries left" in text and "9a  empty" in text and "ISCL  ward-ct1" in text
    assert "wiped, PIN and PUK set" in desk.init()
    state = desk.card.state
    assert (state.pin.value, state.puk.value, state.admin_algorithm) == (b"471108", b"31415926", 0x08)
    assert (desk.folder / "admin").stat().st_mode & 0o777 == 0o600
    assert (desk.folder / "admin").read_text().strip() == f"aes:{state.admin.hex()}"
    assert "new key p256" in desk.good("new-key", *desk.both(), "--name", "ward-ct1")
    assert "CN=ward-ct1, signed by itself" in desk.good("list")
    request = desk.request(dns="ct1.example.org", ip="10.0.0.7")
    assert request.is_signature_valid and request.subject.rfc4514_string() == "CN=ward-ct1"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ct1.example.org"]
    leaf = desk.certify(pki, request)
    assert "valid until" in desk.good("install-cert", *desk.both(), leaf.chain)
    assert "issued by CN=TEST ONLY issuing CA" in desk.good("list")
    (desk.folder / "key").write_text("0123456789abcdef\n")
    loaded = desk.good("iscl-key", "to-client", "1", "--key-file", desk.folder / "key", "--management-key", desk.folder / "admin")
    assert "check value d5d44f" in loaded and "to-client  1  des" in desk.good("list")


@pytest.mark.parametrize("where,algorithm", [("9a", "rsa2048"), ("9c", "p384"), ("9e", "p256")])
def test_requests_are_signed_by_keys_of_every_kind_and_slot(desk: Desk, where: str, algorithm: str) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--slot", where, "--algorithm", algorithm, "--name", "ct1")
    assert desk.request(where, name="another").is_signature_valid
    ended = run(["openssl", "req", "-in", desk.folder / f"{where}.csr", "-verify", "-noout", "-subject"])
    assert "verify OK" in ended.stdout and "another" in ended.stdout


def test_a_certificate_of_another_key_is_not_installed(desk: Desk, pki: Pki) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    before = desk.card.state.objects
    for name in ("box-ecdsa", "box-rsa"):
        ended = desk.tool("install-cert", *desk.both(), pki.leaf(name).chain)
        assert ended.returncode == 1 and "WG786" in ended.stdout
    assert desk.card.state.objects == before


def test_an_expired_certificate_is_not_installed(desk: Desk, pki: Pki) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    leaf = desk.certify(pki, desk.request(), "tool-expired", start=pki.now - 9 * DAY, end=pki.now - DAY)
    ended = desk.tool("install-cert", *desk.both(), leaf.chain)
    assert ended.returncode == 1 and "expired" in ended.stdout


def test_nothing_is_destroyed_without_a_yes(desk: Desk) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    before = desk.card.state
    ended = desk.tool("new-key", *desk.both(), "--name", "ct2")
    assert ended.returncode == 4 and "CN=ct1" in ended.stdout and "nothing was changed" in ended.stdout
    assert desk.tool("init", "--new-pin-file", desk.folder / "pin", "--new-puk-file", desk.folder / "puk").returncode == 4
    assert desk.card.state == before


def test_a_wrong_pin_is_tried_once_and_destroys_nothing(desk: Desk) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    before = desk.card.state
    words = ("--pin-file", desk.folder / "wrong", "--management-key", desk.folder / "admin")
    ended = desk.tool("new-key", "--yes", *words, "--name", "ct2")
    assert ended.returncode == 1 and "WG777" in ended.stdout and "2 tries left" in ended.stdout
    after = desk.card.state
    assert after.keys == before.keys and after.pin.tries == 2


def test_a_wrong_management_key_is_refused_by_name(desk: Desk) -> None:
    desk.init()
    ended = desk.tool("new-key", *desk.pin(), "--name", "ct1")
    assert ended.returncode == 1 and "WG780" in ended.stdout and not desk.card.state.keys


def test_pins_are_changed_unblocked_and_judged(desk: Desk) -> None:
    desk.init()
    (desk.folder / "new").write_text("202611")
    assert "PIN changed" in desk.good("set-pin", *desk.pin(), "--new-pin-file", desk.folder / "new")
    assert desk.card.state.pin.value == b"202611"
    for _ in range(3):
        ended = desk.tool("set-pin", "--pin-file", desk.folder / "wrong", "--new-pin-file", desk.folder / "pin")
    assert ended.returncode == 1 and "WG778" in ended.stdout and "BLOCKED" in desk.good("list")
    puk = ("--puk-file", desk.folder / "puk")
    assert "PIN set" in desk.good("set-pin", "--unblock", *puk, "--new-pin-file", desk.folder / "pin")
    (desk.folder / "newpuk").write_text("27182818")
    assert "PUK changed" in desk.good("set-pin", "--puk", *puk, "--new-puk-file", desk.folder / "newpuk")
    for bad in ("123456", "111111", "12345", "47110a"):
        (desk.folder / "bad").write_text(bad)
        ended = desk.tool("set-pin", *desk.pin(), "--new-pin-file", desk.folder / "bad")
        assert ended.returncode == 1 and "WG785" in ended.stdout and bad not in ended.stdout
    assert (desk.card.state.pin.tries, desk.card.state.puk.value) == (3, b"27182818")


def test_a_card_with_forgotten_secrets_is_wiped_and_used_again(desk: Desk) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    old = desk.card.state.admin
    desk.init()
    state = desk.card.state
    assert not state.keys and not state.objects and state.admin != old and state.pin.tries == 3


def test_an_init_that_was_cut_off_with_everything_blocked_is_done_again(desk: Desk) -> None:
    state = desk.card.state
    state.pin.tries = state.puk.tries = 0
    desk.slot.remove()
    desk.card.store.save(state)
    desk.slot.insert()
    until_present(desk.slot)
    desk.init()
    assert desk.card.state.pin.value == b"471108"


def test_files_that_are_there_are_not_overwritten(desk: Desk) -> None:
    (desk.folder / "admin").write_text("precious")
    words = ("--yes", "--new-pin-file", desk.folder / "pin", "--new-puk-file", desk.folder / "puk")
    assert desk.tool("init", *words, "--management-key-out", desk.folder / "admin").returncode == 3
    assert (desk.folder / "admin").read_text() == "precious" and desk.card.state.pin.value == b"123456"
    desk.good("init", *words)
    desk.good("new-key", *desk.pin(), "--name", "ct1")
    assert desk.tool("csr", *desk.pin(), desk.folder / "admin").returncode == 3
    assert (desk.folder / "admin").read_text() == "precious"


def test_iscl_keys_are_loaded_removed_and_refused(desk: Desk) -> None:
    desk.init()
    admin = ("--management-key", desk.folder / "admin")
    key = desk.folder / "key"
    key.write_text("0123456789abcdef")
    desk.good("iscl-key", "to-client", "3", "--key-file", key, "--tries", "5", *admin)
    assert "to-client  3  des, 5 of 5 tries left" in desk.good("list")
    assert desk.tool("iscl-key", "to-server", "3", "--key-file", key, *admin).returncode == 1, "the same key for both directions"
    desk.good("iscl-key", "to-server", "3", "--key-file", key, "--unsafe-allow-same-key", *admin)
    assert desk.tool("iscl-key", "to-client", "3", "--key-file", key, *admin).returncode == 4, "the slot is taken"
    assert desk.tool("iscl-key", "to-client", "4", "--kind", "aes128", "--key-file", key, *admin).returncode == 1
    desk.good("iscl-key", "to-client", "3", "--unblock", *admin)
    desk.good("iscl-key", "to-client", "3", "--delete", "--yes", *admin)
    assert [*desk.card.state.iscl] == [0x8B]


def test_empty_readers_and_missing_readers_are_said_plainly(desk: Desk) -> None:
    assert desk.tool("set-pin", "--reader", "Reader B", *desk.pin()).returncode == 1
    ended = desk.tool("list", "--reader", "No such")
    assert ended.returncode == 1 and "WG771" in ended.stdout
    assert desk.tool("list", "--reader").returncode == 2


def test_two_cards_need_the_readers_name(desk: Desk) -> None:
    other = Slot(desk.slot.pcscd, CardFile(desk.folder / "other"), reader=1)
    other.insert()
    until_present(other)
    try:
        ended = desk.tool("set-pin", *desk.pin(), "--new-pin-file", desk.folder / "pin")
        assert ended.returncode == 1 and "name one with --reader" in ended.stdout
        desk.good("init", "--yes", "--reader", "A 00 01", "--new-pin-file", desk.folder / "pin", "--new-puk-file", desk.folder / "puk")
        assert (other.card.state.pin.value, desk.card.state.pin.value) == (b"471108", b"123456")
    finally:
        other.remove()
        until_present(other, False)


def test_secrets_are_typed_without_echo_and_the_serial_number_confirms(desk: Desk) -> None:
    """On a real terminal: a pseudo-terminal of the kernel."""
    shown = typed(
        ["init"],
        [("Type ", SERIAL), ("new PIN: ", "471108"), ("once more: ", "471108"), ("new PUK: ", "31415926"), ("once more: ", "31415926")],
    )
    assert "wiped" in shown and "471108" not in shown and "31415926" not in shown
    assert desk.card.state.pin.value == b"471108"
    assert "nothing was changed" in typed(["init"], [("Type ", "yes")])


def test_others_use_the_card_while_a_person_types(desk: Desk) -> None:
    """The PIN of a box that is up is asked for at its reader: its signatures must not wait for that."""

    def meanwhile() -> str:
        assert "PIN 3 tries left" in desk.good("list")
        with Pcsc() as pcsc, pcsc.connect(desk.slot.name) as shared:
            shared.disconnect(reset=True)
        return "123456"

    dialogue: list[tuple[str, str | Callable[[], str]]] = [("PIN: ", meanwhile), ("new PIN: ", "471108"), ("once more: ", "471108")]
    assert "PIN changed" in typed(["set-pin"], dialogue)
    assert desk.card.state.pin.value == b"471108"


def test_a_card_that_is_swapped_while_a_person_types_is_not_touched(desk: Desk) -> None:
    other = CardFile(desk.folder / "other", serial=bytes.fromhex("00c0ffee00000002"), label="other")

    def swapped() -> str:
        desk.slot.remove()
        until_present(desk.slot, False)
        desk.slot.card = other
        desk.slot.insert()
        until_present(desk.slot)
        return SERIAL

    dialogue: list[tuple[str, str | Callable[[], str]]] = [("Type ", swapped), ("new PIN: ", "471108"), ("once more: ", "471108")]
    shown = typed(["init"], [*dialogue, ("new PUK: ", "31415926"), ("once more: ", "31415926")])
    assert "WG773" in shown and "wiped" not in shown, shown
    assert other.state.pin.value == b"123456"


def typed(words: list[str], dialogue: Sequence[tuple[str, str | Callable[[], str]]]) -> str:
    """Run the tool on a terminal; answer each prompt in turn, with text or what a function returns; return what was shown."""
    dialogue = list(dialogue)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(PATH)
        os.execv(sys.executable, [sys.executable, "-m", "wardtools.main", "card", *words])
    shown, at = b"", 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if ready:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        if dialogue and (found := shown.find(dialogue[0][0].encode(), at)) >= 0:
            at = found + len(dialogue[0][0])
            answer = dialogue.pop(0)[1]
            os.write(terminal, (answer if isinstance(answer, str) else answer()).encode() + b"\n")
    os.close(terminal)
    os.waitpid(pid, 0)
    assert not dialogue, (dialogue, shown)
    return shown.decode()


def test_the_request_needs_the_cards_own_key(desk: Desk) -> None:
    """new-key was cut off between key and certificate: the old certificate is no longer of the key, and csr says so."""
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ct1")
    objects = desk.card.state.objects
    desk.good("new-key", "--yes", *desk.both(), "--name", "ct1")
    desk.slot.remove()
    state = desk.card.state
    state.objects = objects
    desk.card.store.save(state)
    desk.slot.insert()
    until_present(desk.slot)
    ended = desk.tool("csr", *desk.pin(), desk.folder / "out.csr")
    assert ended.returncode == 1 and "WG786" in ended.stdout and not (desk.folder / "out.csr").exists()


def test_a_person_signs_an_authorization_with_the_card_and_the_box_would_take_it(desk: Desk, pki: Pki) -> None:
    desk.init()
    desk.good("new-key", *desk.both(), "--slot", "9c", "--algorithm", "p384", "--name", "person")
    leaf = desk.certify(pki, desk.request("9c"), "person")
    desk.good("install-cert", *desk.both(), "--slot", "9c", leaf.chain)
    text = statement("ward-ct1", "ct1", "00" * 16, "2026-11-29T20:00:00Z", "seen", [Named("1.2.3", "ab" * 32)])
    (desk.folder / "statement").write_text(text)
    out = desk.folder / "signed"
    shown = desk.good("authorize", *desk.pin(), "--yes", desk.folder / "statement", out)
    assert "instance 1.2.3 sha256" in shown
    signed = json.loads(out.read_text())
    fingerprint = hashlib.sha256(base64.b64decode(signed["certificate"])).hexdigest()
    assert read_signed(signed, (fingerprint,), time.time()).text == text
    with pytest.raises(NotAuthorized):
        read_signed({**signed, "statement": text.replace("1.2.3", "1.2.4")}, (fingerprint,), time.time())
    (desk.folder / "other").write_text("something else")
    assert desk.tool("authorize", *desk.pin(), "--yes", desk.folder / "other", desk.folder / "no").returncode == 3
