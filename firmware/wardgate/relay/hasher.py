"""SHA-256 of data sets: where the bytes lie, on the loop's thread or in one beside it.

`hashlib` lets go of the interpreter lock for chunks above 2 KiB, so a second core hashes while the first does TLS.
A buffer that is being hashed must not be read into: `Buffers` hands out the next of a ring instead and waits if it is still in use.
"""

from __future__ import annotations

import hashlib
import mmap
import queue
import threading
from collections.abc import Callable
from typing import Final

READ_BYTES: Final = 262144  # one recv
SPARE_BYTES: Final = 262144  # room in front for what the walker kept back, and behind for what TLS had buffered
OFFLOAD_BYTES: Final = 49152  # below this a hand-over costs more than it saves
RING: Final = 4

Slice = tuple[Callable[[memoryview], object], memoryview]


def _room(size: int) -> memoryview:
    """Return `size` bytes that the kernel gives page by page as they are used: where images are small most are not."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Digest:
    """SHA-256 of one data set. `update` is its sink; in a ring of buffers it only notes the slice."""

    __slots__ = ("_buffers", "_sha", "update")

    def __init__(self, buffers: Buffers) -> None:
        self._sha = hashlib.sha256()
        self._buffers = buffers
        self.update: Callable[[memoryview], object] = self._sha.update if buffers.inline else self._note

    def _note(self, data: memoryview) -> None:
        self._buffers.slices.append((self._sha.update, data))

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, hexadecimal; waits for the hashing thread."""
        self._buffers.settle()
        return self._sha.hexdigest()


class Buffers:
    """The buffers of a worker: `plain` for what the walker sees, `wire` for what a TLS leg read."""

    def __init__(self, hash_threads: int) -> None:
        self.inline = hash_threads == 0
        self.slices: list[Slice] = []
        self.wire = _room(READ_BYTES)
        self._ring = [_room(READ_BYTES + SPARE_BYTES) for _ in range(1 if self.inline else RING)]
        self._busy: list[threading.Lock | None] = [None] * len(self._ring)
        self._turn = 0
        self.plain = self._ring[0]
        self._jobs: queue.SimpleQueue[tuple[list[Slice], threading.Lock]] = queue.SimpleQueue()
        if not self.inline:
            threading.Thread(target=self._work, daemon=True, name="sha256").start()

    def after_feed(self, size: int) -> None:
        """The walker is done with the first `size` bytes of `plain`: hash what it noted, here or in the thread."""
        slices = self.slices
        if not slices:
            return
        self.slices = []
        if size < OFFLOAD_BYTES and all(lock is None for lock in self._busy):
            for update, data in slices:
                update(data)
            return
        lock = threading.Lock()
        lock.acquire()
        self._busy[self._turn] = lock
        self._jobs.put((slices, lock))
        self._turn = (self._turn + 1) % RING
        self._wait(self._turn)
        self.plain = self._ring[self._turn]

    def settle(self) -> None:
        """Wait until everything noted so far is hashed."""
        if self.inline:
            return
        slices, self.slices = self.slices, []
        for turn in range(len(self._busy)):
            self._wait((self._turn + 1 + turn) % len(self._busy))
        for update, data in slices:
            update(data)

    def _wait(self, turn: int) -> None:
        lock = self._busy[turn]
        if lock is not None:
            lock.acquire()
            self._busy[turn] = None

    def _work(self) -> None:
        while True:
            slices, lock = self._jobs.get()
            for update, data in slices:
                update(data)
            lock.release()
