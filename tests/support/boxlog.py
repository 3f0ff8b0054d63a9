"""The custody log of a box in QEMU, read while the box goes on writing it."""

from __future__ import annotations

from support import boxwords
from support.qemubox import QemuBox

_SIZE = "sed -n 2p /var/lib/custody/log/checkpoint"
_SECONDS = 300.0


def pieces(box: QemuBox, pattern: str) -> list[str]:
    """Return each piece of the log that matches, once, in the log's order, as soon as all that the box kept for it is in it."""
    box.until("! ls /state/kept/*.json 2>/dev/null", _SECONDS)
    return box.ask(boxwords.in_log(pattern)).splitlines()


def signed(box: QemuBox, more_than: int = 0) -> int:
    """Return how many records the checkpoint has, once they are more than `more_than`: it follows the records."""
    box.until(f'test "$({_SIZE} 2>/dev/null || echo 0)" -gt {more_than}', _SECONDS)
    return int(box.ask(_SIZE))
