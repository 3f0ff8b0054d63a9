"""Numbers that all processes of the queue share: the next place in the order, and the bytes held. A mapped file under a lock.

Nothing in it has to survive: who starts counts again from the names in the directory.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NUMBERS: Final = struct.Struct("<QQ")


class Counters:
    """`take_number()` never gives one twice while somebody has the queue open."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < mmap.PAGESIZE:
            os.ftruncate(self._fd, mmap.PAGESIZE)
        self._map = mmap.mmap(self._fd, mmap.PAGESIZE)

    @contextmanager
    def _locked(self) -> Iterator[tuple[int, int]]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            number, held = _NUMBERS.unpack_from(self._map)
            yield number, held
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def at_least(self, number: int) -> None:
        """Give no number below `number` from now on."""
        with self._locked() as (following, held):
            _NUMBERS.pack_into(self._map, 0, max(number, following), held)

    def take_number(self) -> int:
        """Return the next place in the order."""
        with self._locked() as (number, held):
            _NUMBERS.pack_into(self._map, 0, number + 1, held)
        return int(number)

    def add_bytes(self, size: int) -> None:
        """Bytes came into the queue, or left it (negative)."""
        with self._locked() as (number, held):
            _NUMBERS.pack_into(self._map, 0, number, max(0, held + size))

    def set_bytes(self, size: int) -> None:
        """So many were counted."""
        with self._locked() as (number, _held):
            _NUMBERS.pack_into(self._map, 0, number, size)

    @property
    def held_bytes(self) -> int:
        """Bytes in the queue."""
        return int(_NUMBERS.unpack_from(self._map)[1])

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._fd)
