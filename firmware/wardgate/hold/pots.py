"""Memory in which the bytes of data sets wait on the loop until a thread hashes and seals them: few handovers, and bounded."""

from __future__ import annotations

import mmap
import threading
from typing import Final

POT_BYTES: Final = 128 << 10  # of one handover: two fit into a core's cache beside what becomes of them
MOST: Final = 32  # pots of a process; beyond, an instance has its own one alone
_KEPT: Final = 8  # not given back to the kernel

Pot = memoryview


class Pots:
    """The pots of a process. `first` and `another` are called on the loop, `give` from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # over the next three
        self._free: list[Pot] = []
        self._out = 0
        self._wanted = False  # the loop waits for whichever comes back next
        self._back = threading.Lock()  # released when it did
        self._back.acquire()

    def first(self) -> Pot:
        """Return the pot with which an instance begins: there is always one."""
        with self._lock:
            self._out += 1
            return self._free.pop() if self._free else _make()

    def another(self) -> Pot:
        """Return a pot to somebody whose last one is being worked on. When all are out, wait for one, at the latest that one."""
        with self._lock:
            if self._out < MOST:
                self._out += 1
                return self._free.pop() if self._free else _make()
            if self._free:
                self._out += 1
                return self._free.pop()
            self._wanted = True
        self._back.acquire()
        with self._lock:
            self._out += 1
            return self._free.pop()

    def give(self, pot: Pot) -> None:
        """Give one back."""
        with self._lock:
            self._out -= 1
            wanted, self._wanted = self._wanted, False
            if wanted or len(self._free) < _KEPT:
                self._free.append(pot)
            if wanted:
                self._back.release()


def _make() -> Pot:
    return memoryview(mmap.mmap(-1, POT_BYTES))
