"""Memory in which an instance is gathered before it goes to the disk in large pieces, past the page cache: aligned, and bounded.

One write of half a megabyte costs a disk and a processor a fraction of what eight of 64 KiB do. So a worker has a few large slabs; when all
are out, an instance gets a small one of its own.
"""

from __future__ import annotations

import mmap
import threading
from typing import Final, NamedTuple

PIECE_BYTES: Final = 1 << 20  # gathered before they are written
SMALL_BYTES: Final = 64 << 10  # the same in a small slab
SLACK_BYTES: Final = 128 << 10  # behind a piece: the chunk that filled it, the trailer, the rest of a block
MOST: Final = 8  # large ones of a process


class Slab(NamedTuple):
    """`memory` begins at a page; once `piece` bytes of it are used they are to be written."""

    memory: memoryview
    piece: int


class Slabs:
    """The slabs of a process. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Slab] = []
        self._made = 0

    def take(self) -> Slab:
        """Return a slab that nobody else has: a large one while there are some."""
        return self.take_large() or _make(SMALL_BYTES)

    def take_large(self) -> Slab | None:
        """Return a large slab; None when all are out."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._made == MOST:
                return None
            self._made += 1
        return _make(PIECE_BYTES)

    def give(self, slab: Slab) -> None:
        """Give one back."""
        if slab.piece == PIECE_BYTES:
            with self._lock:
                self._free.append(slab)


def _make(piece: int) -> Slab:
    return Slab(memoryview(mmap.mmap(-1, piece + SLACK_BYTES)), piece)
