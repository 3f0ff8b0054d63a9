"""The box with its keys on a card: QEMU's USB reader, the virtual card behind it, and in the guest the real pcscd, ccid and OpenSC."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, boxwords, datasets, imagekit, qemubox
from support.auditkit import told
from support.boxsite import Site
from support.card import CardFile
from support.cardbench import LABEL, uri
from support.datasets import Sample
from support.processes import free_port
from support.qemubox import QemuBox
from support.rsyslog import Rsyslog
from support.tokenkit import need_provider
from virtualcard.card import Card
from virtualcard.vscard import Phase, Vscard
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

# A box whose gateway kept log and spool, as the way back leaves it (docs/custody.md): the next start hands them over.
AS_BEFORE = (
    "systemctl stop wardgate wardgate-custody wardgate-audit && mv /vault/custody/log /vault/wardgate/custody"
    " && mv /vault/audit/spool /vault/wardgate/audit && chown -hR wardgate:wardgate /vault/wardgate/custody /vault/wardgate/audit"
    " && systemctl start wardgate"
)
KEPT = ("/var/lib/custody/log", "/var/lib/custody/log/vkey", "/vault/wardgate/custody", "/vault/wardgate/hold")
SPOOLED = ("/var/lib/audit/spool", "/var/lib/audit/spool/marks.json")
# Through cat: busybox's ls writes colours to a terminal.
MOVED = f"{boxwords.owners(*KEPT, *SPOOLED)}; (ls /vault/custody; ls /vault/audit) | cat; test -e /vault/wardgate/audit || echo gone"
# Which keys may be used, and whether the last one signs.
ASK = """
import sys
from wardkeys.client import KeyClient
from wardkeys.errors import KeyServiceError
client = KeyClient("/run/wardkeys/keys.sock")
calls = [lambda key=key: client.public(key) for key in sys.argv[1:]]
for call in [*calls, lambda: client.sign(sys.argv[-1], "ecdsa-sha256", bytes(32))]:
    try:
        print("DONE" if call() else "NOTHING")
    except KeyServiceError as error:
        print(error.code)
"""
STATUS = "python3 -P -m wardgate status -c /etc/wardgate/wardgate.toml"
SECONDS = 300.0


@dataclass
class Seen:
    """What went through the box, and what it said of its token: with the card in, out, in again."""

    wanted: list[bytes]
    sent: list[str] = field(default_factory=list)
    arrived: list[list[bytes]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    journal: str = ""
    pcscd: str = ""
    checkpoint: str = ""
    asked: str = ""
    asked_by_audit: str = ""
    told: list[str] = field(default_factory=list)
    told_later: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    moved: str = ""


class Reader:
    """QEMU's USB reader. `insert` puts the card in, `pull` takes it out."""

    def __init__(self, folder: Path, card: CardFile) -> None:
        self._chardev, self._card = folder / "vscard", card
        self._front: Vscard | None = None
        self.devices = (
            "-device",
            "qemu-xhci",
            "-device",
            "usb-ccid",
            "-chardev",
            f"socket,id=card,server=on,wait=off,path={self._chardev}",
        )
        self.devices += ("-device", "ccid-card-passthru,chardev=card")

    def insert(self, box: QemuBox) -> None:
        self._front = Vscard(Card(self._card.store), box.channel(self._chardev))
        threading.Thread(target=self._front.serve, daemon=True).start()

    def pull(self) -> None:
        assert self._front is not None and self._front.phase is Phase.IN
        self._front.remove()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Seen:
    """Boot with the card in; send an instance, pull the card, send one, put it in, send one."""
    imagekit.need_tools()
    need_provider()
    folder: Path = tmp_path_factory.mktemp("card")
    card = CardFile(folder / "card", serial=bytes.fromhex("00c0ffee00000001"), label="ward-ct1")
    site = Site(folder, pki, card=card, repository=free_port())
    repository = Rsyslog(folder / "arr", pki, site.repository)
    reader = Reader(folder, card)
    samples = datasets.generate(folder / "study", 3, rows=64)
    made = Seen([datasets.data_set(sample.path.read_bytes()) for sample in samples])

    def store(sample: Sample, present: bool) -> None:
        """Send it; with the card `present` until it is taken: a worker makes its contexts a moment after the status knows of the card."""
        deadline = time.monotonic() + SECONDS
        while (sent := site.store(sample)).returncode and present and time.monotonic() < deadline:
            time.sleep(1)
        made.sent.append(sent.stdout)

    def look(box: QemuBox, token: str, sample: Sample) -> None:
        box.until(f"{STATUS} | grep -q 'token {LABEL}: {token}'", SECONDS)
        made.statuses.append(box.run(STATUS)[1])
        store(sample, token == "present")
        made.arrived.append([datasets.data_set(path.read_bytes()) for path in site.delivered()])

    def ask(account: str) -> str:
        return box.run(boxwords.as_account(account, f"{boxwords.script(ASK)} '{uri(1)}' '{uri(4)}'"))[1]

    site.open_pacs()
    repository.start()
    try:
        with qemubox.powered(site.box(folder, site.disk(imagekit.build("1.0.0")), reader.devices)) as box:
            reader.insert(box)
            box.wait_shell()
            box.until("ss -H -ltn | grep -q ':104 '")
            look(box, "present", samples[0])
            reader.pull()
            look(box, "absent", samples[1])
            reader.insert(box)
            look(box, "present", samples[2])
            made.sizes.append(boxlog.signed(box))
            made.pcscd = box.run(f"{boxwords.PROCESSES} | grep pcsc[d]")[1]
            made.checkpoint = box.run("head -c 4096 /var/lib/custody/log/checkpoint")[1]
            made.asked, made.asked_by_audit = ask("wardgate"), ask("audit")
            box.until(f"{STATUS} | grep -q 'arr at .* 0 waiting'", SECONDS)
            repository.stop()
            box.ask(AS_BEFORE, SECONDS)
            made.told = repository.lines()
            repository.start()
            box.until(f"{STATUS} | grep -q 'token {LABEL}: present'", SECONDS)
            store(samples[0], True)
            made.sizes.append(boxlog.signed(box, made.sizes[0]))
            made.moved = box.run(MOVED)[1]
            box.until(f"{STATUS} | grep -q 'arr at .* 0 waiting'", SECONDS)
            made.told_later = repository.lines()[len(made.told) :]
            made.journal = box.journal()
    finally:
        repository.stop()
        site.close_pacs()
    return made


def test_an_instance_passes_with_the_key_on_the_card(seen: Seen) -> None:
    assert seen.arrived[0] == [seen.wanted[0]], f"{seen.sent}\n{seen.journal}"


def test_nothing_passes_while_the_card_is_out(seen: Seen) -> None:
    assert seen.arrived[1] == [seen.wanted[0]], f"{seen.sent}\n{seen.journal}"
    assert "Rejected" in seen.sent[1] or "reject" in seen.sent[1].lower(), seen.sent[1]


def test_instances_pass_again_when_the_card_is_back(seen: Seen) -> None:
    assert sorted(seen.arrived[2]) == sorted([seen.wanted[0], seen.wanted[2]]), f"{seen.sent}\n{seen.journal}"


def test_the_box_signs_its_log_with_the_card(seen: Seen) -> None:
    assert "pcscd" in seen.pcscd
    assert "ward-test.example.org/custody" in seen.checkpoint, seen.journal


def test_the_gateway_has_no_signature_with_the_key_of_the_log(seen: Seen) -> None:
    assert seen.asked.split() == ["DONE", "WG733", "WG733"], seen.asked


def test_the_audit_sender_has_its_own_grant_and_no_signature_of_the_log(seen: Seen) -> None:
    assert seen.asked_by_audit.split() == ["DONE", "WG733", "WG733"], seen.asked_by_audit
    codes = {told(line).details.get("Failure Code", "") for line in seen.told}
    assert {"WG740", "WG748"} <= codes, f"the card was out, and is back: {codes}"


def test_what_the_gateway_had_spooled_is_sent_after_the_spool_was_handed_over(seen: Seen) -> None:
    kinds = [told(line).types[0] for line in seen.told_later]
    assert kinds.index("110121") < kinds.index("110120"), kinds


def test_a_log_that_the_gateway_kept_is_handed_over_and_goes_on(seen: Seen) -> None:
    assert seen.moved.splitlines() == [
        "custody custody 750 /var/lib/custody/log",
        "custody custody 640 /var/lib/custody/log/vkey",
        "root root 640 /vault/wardgate/custody",
        "wardgate custody 2750 /vault/wardgate/hold",
        "audit audit 700 /var/lib/audit/spool",
        "audit audit 600 /var/lib/audit/spool/marks.json",
        "log",
        "spool",
        "gone",
    ], f"{seen.moved}\n{seen.journal}"
    assert seen.sizes[1] > seen.sizes[0], f"{seen.sent[-1]}\n{seen.journal}"
