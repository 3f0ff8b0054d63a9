"""A guest of QEMU with a USB card reader, pcscd, its driver and OpenSC: the virtual card's VSCARD front end as a machine sees it.

Kernel and root come from `tools/cardguest.sh` (build/cardguest). No network, no disk; what the guest does is in `cardguest-init`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

from support.card import CardFile
from support.processes import Program, tied, unix_connection, until
from virtualcard.card import Card
from virtualcard.vscard import Vscard

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300.0


def missing() -> str | None:
    """Return why there can be no such guest here, None when there can. Its root is made at the first call."""
    if os.geteuid():
        return "making the guest's root needs root"
    for tool, package in {"mmdebstrap": "mmdebstrap", "qemu-system-x86_64": "qemu-system-x86"}.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install {package})"
    made = subprocess.run([ROOT / "tools/cardguest.sh"], capture_output=True, text=True, check=False)
    return None if made.returncode == 0 else made.stderr.strip()[-300:]


class CardGuest:
    """The machine. Use as a context manager; it boots at once."""

    def __init__(self, folder: Path, digest: bytes, pin: bytes) -> None:
        self._chardev = folder / "vscard"
        base = ROOT / "build/cardguest"
        words = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none"]
        words += ["-no-reboot", "-serial", "stdio", "-device", "nec-usb-xhci", "-device", "usb-ccid"]
        words += ["-chardev", f"socket,id=card,server=on,wait=off,path={self._chardev}", "-device", "ccid-card-passthru,chardev=card"]
        line = f"console=ttyS0 panic=1 quiet ward.digest={digest.hex()} ward.pin={pin.decode()}"
        words += ["-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd.img"), "-append", line]
        self._program = Program(tied(words), folder / "guest.txt")

    def __enter__(self) -> CardGuest:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    @property
    def console(self) -> str:
        """What it printed so far."""
        return self._program.log.replace("\r", "")

    def insert(self, card: CardFile) -> Vscard:
        """Put the card into its reader; `remove()` of what is returned pulls it."""
        front = Vscard(Card(card.store), unix_connection(self._chardev, self._program))
        threading.Thread(target=front.serve, daemon=True).start()
        return front

    def until_says(self, word: str) -> None:
        """Wait until it prints this word. Raises `AssertionError` with its last words when it ends before."""

        def said() -> bool:
            found = f"CARDGUEST {word}\n" in self.console
            assert found or self._program.running(), self.console[-3000:]
            return found

        until(said, f"the guest says: {word}", SECONDS)

    def part(self, name: str) -> str:
        """Return what a command printed in it. Raises `AssertionError` when it failed."""
        found = re.search(rf"CARDGUEST part {name}\n(.*)CARDGUEST ended {name} (\d+)\n", self.console, re.DOTALL)
        assert found is not None, self.console[-3000:]
        assert found[2] == "0", found[1]
        return found[1]
