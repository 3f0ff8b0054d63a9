"""The vault in the Debian image opened by a token: an RSA key on a (virtual) PIV card in QEMU's USB reader.

In the box are the real pcscd, ccid, OpenSC and p11-kit. Without its card it is closed; the card that comes later opens it by itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from support.card import CardFile, personalise
from support.qemubox import QemuBox
from virtualcard.card import Card
from virtualcard.state import FACTORY_PIN
from virtualcard.vscard import Vscard
from wardkeys.card.piv import Algorithm
from wardkeys.card.piv import Slot as KeySlot
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(2400)]

LOOKS = {
    "mount": "findmnt -rno SOURCE,FSTYPE /vault",
    "tokens": "cryptsetup luksDump /dev/disk/by-partlabel/vault | grep -E '^  [0-9]+: systemd-'",
    "standing": "wardgate state show",
    "sockets": "ss -H -lnt",
    "pin": "ls /state/wardvault",
    "log": "journalctl -b --no-pager -o cat -u wardgate-vault -u pcscd",
}


@dataclass
class Said:
    """What the box said: at its first start, at the second before and after the card came."""

    first: dict[str, str] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)
    sent: int = -1


@contextlib.contextmanager
def inserted(card: CardFile, box: QemuBox, reader: Path) -> Iterator[None]:
    """The card is in QEMU's reader."""
    front = Vscard(Card(card.store), box.channel(reader))
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the machine may be off
            front.remove()
        thread.join(10)


def looks(box: QemuBox) -> dict[str, str]:
    return {name: box.run(command)[1].strip() for name, command in LOOKS.items()}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Said:
    """A first start with the card in, a second one without it; then it comes."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("vt")
    card = CardFile(folder / "card", serial=bytes.fromhex("00c0ffee00000002"), label="ward-vault")
    personalise(card, pki, "vault", {KeySlot.KEY_MANAGEMENT: Algorithm.RSA_2048})
    site = Site(folder, pki, clear=False)
    site.files["wardgate/vault.toml"] = 'unlock = ["pkcs11"]\nrecovery = "none"\n'
    site.files["wardvault/pin"] = FACTORY_PIN + b"\n"
    site.private["wardvault/pin"] = "wardvault"
    disk = site.disk(imagekit.build("1.0.0"))
    told = Said()

    def box(name: str) -> tuple[QemuBox, Path]:
        (folder / name).mkdir()
        reader = folder / name / "reader"
        words = ("-device", "qemu-xhci", "-device", "usb-ccid", "-chardev", f"socket,id=card,server=on,wait=off,path={reader}")
        return site.box(folder / name, disk, (*words, "-device", "ccid-card-passthru,chardev=card")), reader

    site.open_pacs()
    try:
        first, reader = box("first")
        with qemubox.powered(first), inserted(card, first, reader):
            first.wait_shell()
            first.until("ss -H -ltn | grep -q ':104 '")
            told.first = looks(first)
            first.send("systemctl poweroff --no-block")
            first.wait_off()
        second, reader = box("second")
        with qemubox.powered(second):
            second.wait_shell()
            second.until("wardgate state show | grep -q WG945")
            told.without = looks(second)
            with inserted(card, second, reader):
                second.until("ss -H -ltn | grep -q ':104 '")
                told.late = looks(second)
                told.sent = site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode
    finally:
        site.close_pacs()
    return told


def test_a_token_alone_makes_and_opens_the_vault(said: Said) -> None:
    assert said.first["mount"] == "/dev/mapper/vault ext4", said.first["log"]
    assert said.first["tokens"].split()[1:] == ["systemd-pkcs11"]


def test_without_its_token_the_box_is_closed(said: Said) -> None:
    assert said.without["standing"].startswith("vault-closed: WG945"), said.without["log"]
    assert said.without["mount"] == "" and said.without["sockets"] == ""
    assert said.without["pin"] == "pin", "a card that is away has not refused it"


def test_a_token_that_comes_later_brings_the_box_into_service(said: Said) -> None:
    assert said.late["mount"] == "/dev/mapper/vault ext4", said.late["log"]
    assert said.sent == 0 and said.late["standing"] == ""
