"""Buffers for long messages that are used again: memory that the kernel gives anew costs more to touch than AES to fill.

A buffer is free when nobody holds a view of it any more, which Python itself tells: a `bytearray` that is looked at refuses to change its
size. So nothing is ever given back by hand, and whoever keeps a message keeps it for as long as he likes.
"""

from __future__ import annotations

import threading
from typing import Final

KEPT: Final = 8  # buffers
SHORT_BYTES: Final = 32768  # below, the allocator is as fast
LONGEST_BYTES: Final = 1 << 21  # above, nothing is kept


class Room:
    """Shared by all connections of a process, in whatever thread: at most `KEPT` buffers of `LONGEST_BYTES`."""

    def __init__(self) -> None:
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, size: int) -> memoryview:
        """Return `size` writable bytes that nobody else sees. What is in them means nothing: write before you read."""
        if not SHORT_BYTES <= size <= LONGEST_BYTES:
            return memoryview(bytearray(size))
        with self._lock:
            for buffer in self._kept:
                if len(buffer) >= size and _free(buffer):
                    return memoryview(buffer)[:size]
            made = bytearray(size)
            if len(self._kept) >= KEPT:
                # Those that are free are too short; those that are not go when their reader lets go.
                self._kept.pop(next((at for at, buffer in enumerate(self._kept) if _free(buffer)), 0))
            self._kept.append(made)
            return memoryview(made)


def _free(buffer: bytearray) -> bool:
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True


ROOM: Final = Room()
