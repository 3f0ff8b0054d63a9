"""Looks at the disk of a box that runs, from outside: how much of the other slot is written, what the loader remembers.

The disk must be a raw file: then what the box has written is in it at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from support.imagekit import Image
from support.qemubox import place_of
from wardgate.update import grubenv

STEP, PIECE = 256 << 10, 4096  # a piece of each step is looked at
READ = 1 << 20


class Written(NamedTuple):
    """How much of slot B is that of the new release already: parts of 1 of its boot and its root partition."""

    boot: float
    root: float

    @property
    def is_part(self) -> bool:
        """Is the slot neither what it was nor what it becomes?"""
        return 0 < self.boot + self.root < 2


class SlotSpy:
    """Of one box: `disk`, `new` the release that is installed, `before` a disk as it was before the install."""

    def __init__(self, disk: Path, new: Image, before: Path) -> None:
        self._fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
        self._loader = self._find_loader()
        with before.open("rb") as old:
            self._boot = changes(old.fileno(), "boot_b", new.folder / "boot.vfat")
            self._root = changes(old.fileno(), "root_b", new.folder / "root.img")

    def close(self) -> None:
        """Look no more."""
        os.close(self._fd)

    def written(self) -> Written:
        """Return how far the slot is written."""
        return Written(self._share(self._boot), self._share(self._root))

    def loader(self) -> grubenv.Memory:
        """Return what lies in the loader's memory on the disk."""
        return grubenv.parse(os.pread(self._fd, grubenv.SIZE, self._loader))

    def state_says(self, word: bytes) -> bool:
        """Does `word` stand anywhere on the state partition? A removed file's bytes may."""
        start, size = place_of("state")
        return any(word in os.pread(self._fd, 2 * READ, start + offset) for offset in range(0, size, READ))

    def _share(self, pieces: list[tuple[int, bytes]]) -> float:
        return sum(os.pread(self._fd, PIECE, place) == piece for place, piece in pieces) / len(pieces)

    def _find_loader(self) -> int:
        start, size = place_of("esp")
        head = grubenv.write(grubenv.UNREADABLE)[: len("# GRUB Environment Block\n")]
        return start + os.pread(self._fd, size, start).index(head + b"ORDER")


def changes(old: int, partition: str, file: Path) -> list[tuple[int, bytes]]:
    """Return place on the disk and new content of the pieces that writing `file` to a partition changes. `old`: the disk as it was."""
    start, _ = place_of(partition)
    new = file.read_bytes()
    pieces = [(start + offset, new[offset : offset + PIECE]) for offset in range(0, len(new), STEP)]
    changed = [(place, piece) for place, piece in pieces if os.pread(old, len(piece), place) != piece]
    assert len(changed) > 20, f"{partition}: too little of it changes to see how far it is written"
    return changed
