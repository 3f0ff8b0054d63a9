"""The box with its keys on a card: QEMU's USB reader, the virtual card behind it, and in the guest the real pcscd, ccid and OpenSC."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from support.card import CardFile
from support.tokenkit import need_provider
from virtualcard.card import Card
from virtualcard.vscard import Phase, Vscard
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

USERS = "python3 -P -m wardgate status -c /etc/wardgate/wardgate.toml"


@dataclass
class Seen:
    """What went through the box, and what it said of its token."""

    sent: str
    arrived: list[bytes]
    wanted: list[bytes]
    status: str
    journal: str
    pcscd: str


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Seen:
    """Boot with the card in, send two instances."""
    imagekit.need_tools(asked=True)
    need_provider()
    folder: Path = tmp_path_factory.mktemp("card")
    card = CardFile(folder / "card", serial=bytes.fromhex("00c0ffee00000001"), label="ward-ct1")
    site = Site(folder, pki, card=card)
    chardev = folder / "vscard"
    devices = ("-device", "qemu-xhci", "-device", "usb-ccid", "-chardev", f"socket,id=card,server=on,wait=off,path={chardev}")
    box = site.box(folder, site.disk(imagekit.build("1.0.0")), (*devices, "-device", "ccid-card-passthru,chardev=card"))
    site.open_pacs()
    try:
        with qemubox.powered(box):
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(str(chardev))
            front = Vscard(Card(card.store), channel)
            threading.Thread(target=front.serve, daemon=True).start()
            box.wait_shell()
            assert front.phase is Phase.IN
            box.until("ss -H -ltn | grep -q ':104 '")
            box.until(f"{USERS} | grep -q 'token card: present'", 300)
            samples = datasets.generate(folder / "study", 2, rows=64)
            sent = site.store(*samples).stdout
            time.sleep(3)  # a checkpoint is signed
            return Seen(
                sent,
                [datasets.data_set(path.read_bytes()) for path in site.delivered()],
                [datasets.data_set(sample.path.read_bytes()) for sample in samples],
                box.run(USERS)[1],
                box.journal(),
                box.run("ps -eo user:16,args | grep pcsc[d]; head -c 4096 /var/lib/wardgate/custody/checkpoint")[1],
            )
    finally:
        site.close_pacs()


def test_an_instance_passes_with_the_key_on_the_card(seen: Seen) -> None:
    assert sorted(seen.arrived) == sorted(seen.wanted), f"{seen.sent}\n{seen.journal}"


def test_the_box_names_its_card_and_signs_its_log_with_it(seen: Seen) -> None:
    assert "token card: present" in seen.status
    assert "pcscd" in seen.pcscd
    assert "ward-test.example.org/custody" in seen.pcscd, seen.journal
