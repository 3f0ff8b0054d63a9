"""The VSCARD front end against QEMU's own `ccid-card-passthru`, without a guest: its processor stands still, its device model runs."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.card import CardFile
from support.processes import Program, run, tied, unix_connection, until
from virtualcard.card import Card
from virtualcard.vscard import Phase, Vscard


class Qemu:
    """A machine with a USB reader whose card is behind a UNIX socket."""

    def __init__(self, folder: Path) -> None:
        self.chardev, self._monitor = folder / "vscard", folder / "qmp"
        words = ["qemu-system-x86_64", "-machine", "q35", "-nodefaults", "-display", "none", "-S", "-m", "32", "-device", "nec-usb-xhci"]
        words += ["-device", "usb-ccid", "-chardev", f"socket,id=card,server=on,wait=off,path={self.chardev}"]
        words += ["-device", "ccid-card-passthru,chardev=card,debug=3", "-qmp", f"unix:{self._monitor},server=on,wait=off"]
        self.program = Program(tied(words), folder / "qemu.txt")

    def connect(self) -> socket.socket:
        """Return a connection to the card's chardev."""
        return unix_connection(self.chardev, self.program)

    def ask(self, command: str) -> object:
        """Ask the monitor (QMP)."""
        with unix_connection(self._monitor, self.program) as monitor:
            file = monitor.makefile("rw")
            file.readline()
            for word in ("qmp_capabilities", command):
                file.write(json.dumps({"execute": word}) + "\n")
                file.flush()
                while "event" in (answer := json.loads(file.readline())):  # it tells those between
                    pass
            return answer["return"]


@pytest.fixture
def qemu(folder: Path) -> Iterator[Qemu]:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("not installed: qemu-system-x86")
    if "ccid-card-passthru" not in run(["qemu-system-x86_64", "-device", "help"]).stdout:
        pytest.skip("this QEMU has no ccid-card-passthru")
    made = Qemu(folder)
    yield made
    made.program.stop()


def test_qemu_greets_takes_the_reader_and_the_card(qemu: Qemu, card: CardFile) -> None:
    front = Vscard(Card(card.store), qemu.connect())
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    until(lambda: front.phase is Phase.IN, "QEMU acknowledged the ATR")
    assert front.reader == 0
    front.remove()
    thread.join(10)
    assert not thread.is_alive() and qemu.program.running()
    assert "ATR is inconsistent" not in qemu.program.log


def test_the_card_is_pulled_and_returned_and_qemu_goes_on(qemu: Qemu, card: CardFile) -> None:
    for _ in range(5):
        front = Vscard(Card(card.store), qemu.connect())
        thread = threading.Thread(target=front.serve, daemon=True)
        thread.start()
        until(lambda front=front: front.phase is Phase.IN, "the card is in")  # type: ignore[misc]
        front.remove()
        thread.join(10)
    assert qemu.ask("query-status") and qemu.program.running()
