"""Numbers that all processes of the queue share: the next place in the order, and the bytes held. A mapped file under a lock.

Nothing in it has to survive: who starts counts again from the names in the directory.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from typing import Final

_NUMBERS: Final = struct.Struct("<QQ")


class Counters:
    """`take_number()` never gives one twice while somebody has the queue open."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < mmap.PAGESIZE:
            os.ftruncate(self._fd, mmap.PAGESIZE)
        self._map = mmap.mmap(self._fd, mmap.PAGESIZE)
        self._lock = threading.Lock()  # the one of the file is all threads' of a process

    def at_least(self, number: int) -> None:
        """Give no number below `number` from now on."""
        self._change(number, 0)

    def take_number(self, size: int = 0) -> int:
        """Return the next place in the order; `size` bytes come into the queue there."""
        return self._change(0, size, 1)

    def add_bytes(self, size: int) -> None:
        """Bytes came into the queue, or left it (negative)."""
        self._change(0, size)

    def set_bytes(self, size: int) -> None:
        """So many were counted."""
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                _NUMBERS.pack_into(self._map, 0, _NUMBERS.unpack_from(self._map)[0], size)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _change(self, least: int, size: int, taken: int = 0) -> int:
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                number, held = _NUMBERS.unpack_from(self._map)
                number = max(number, least)
                _NUMBERS.pack_into(self._map, 0, number + taken, max(0, held + size))
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        return int(number)

    @property
    def held_bytes(self) -> int:
        """Bytes in the queue."""
        return int(_NUMBERS.unpack_from(self._map)[1])

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._fd)
