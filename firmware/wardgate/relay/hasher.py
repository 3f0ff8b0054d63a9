"""SHA-256 of data sets: where the bytes lie, on the loop's thread or in one beside it.

`hashlib` lets go of the interpreter lock for chunks above 2 KiB, so a second core hashes while the first does TLS. When the second falls
behind, the loop hashes what it has just read itself: both are busy then, and the bytes are still in its own cache.
Each chunk costs the thread the lock once more, against a loop that has it half of the time: it puts the short slices of a read together
first (decision 085). A buffer that the thread still reads must not be read into: `Buffers` hands out one that is free, the last that became
so first, because it may still be in the cache, and waits when there is none.
"""

from __future__ import annotations

import hashlib
import mmap
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

READ_BYTES: Final = 278528  # one recv: two take an image of 512 x 512 x 16 bit with its header, where two of 256 KiB leave a rest
SPARE_BYTES: Final = 262144  # room in front for what the walker kept back, and behind for what TLS had buffered
OFFLOAD_BYTES: Final = 49152  # below this a hand-over costs more than it saves
JOIN_BYTES: Final = 65536  # slices shorter than that, on average, are put together: copying them costs less than taking the lock for each
RING: Final = 8
BEHIND: Final = 3  # reads that wait for the thread, from which on the loop hashes itself

Slice = tuple["Digest", memoryview]


def _room(size: int) -> memoryview:
    """Return `size` bytes that the kernel gives page by page as they are used: where images are small most are not."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Digest:
    """SHA-256 of one data set. `update` is its sink; in a ring of buffers it only notes the slice."""

    __slots__ = ("_buffers", "_sha", "add", "given", "update")

    def __init__(self, buffers: Buffers) -> None:
        self._sha = hashlib.sha256()
        self._buffers = buffers
        self.given = 0  # number of the last read of which the thread has a part
        self.add: Callable[[memoryview], object] = self._sha.update
        self.update: Callable[[memoryview], object] = self.add if buffers.inline else self._note

    def _note(self, data: memoryview) -> None:
        self._buffers.slices.append((self, data))

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, hexadecimal; waits for the thread, but not for what it hashes of others behind it."""
        self._buffers.settle(self)
        return self._sha.hexdigest()


class Buffers:
    """The buffers of a worker: `plain` for what the walker sees, `wire` for what a TLS leg read."""

    def __init__(self, hash_threads: int) -> None:
        self.inline = hash_threads == 0
        self.slices: list[Slice] = []
        self.wire = _room(READ_BYTES)
        self._ring = [_room(READ_BYTES + SPARE_BYTES) for _ in range(1 if self.inline else RING)]
        self.plain = self._ring[0]
        self._free = self._ring[1:]  # the thread gives back what it does not read any more
        self._given = 0  # reads are numbered as the thread gets them
        self._done = 0  # the last that it has hashed; it takes them in turn
        self._locks: deque[tuple[int, threading.Lock]] = deque()  # each is free when its read is hashed
        self._jobs: queue.SimpleQueue[tuple[list[Slice], memoryview, int, threading.Lock]] = queue.SimpleQueue()
        if not self.inline:
            threading.Thread(target=self._work, daemon=True, name="sha256").start()

    def after_feed(self, size: int) -> None:
        """The walker is done with the first `size` bytes of `plain`: hash what it noted, here or in the thread."""
        slices = self.slices
        if not slices:
            return
        self.slices = []
        done = self._done
        behind = size < OFFLOAD_BYTES or self._given - done >= BEHIND
        if behind and all(digest.given <= done for digest, _ in slices):  # what the thread has of a data set goes first
            for digest, data in slices:
                digest.add(data)
            return
        self._given += 1
        for digest, _ in slices:
            digest.given = self._given
        lock = threading.Lock()
        lock.acquire()
        self._locks.append((self._given, lock))
        self._jobs.put((slices, self.plain, self._given, lock))
        while not self._free:
            self._wait(self._done + 1)
        self.plain = self._free.pop()

    def settle(self, digest: Digest | None = None) -> None:
        """Wait until everything noted so far, or all of `digest`, is hashed."""
        slices, self.slices = self.slices, []
        self._wait(digest.given if digest is not None and not slices else self._given)
        for each, data in slices:
            each.add(data)

    def _wait(self, number: int) -> None:
        """Wait until the thread has hashed read `number`."""
        locks = self._locks
        while locks and locks[0][0] <= max(number, self._done):
            locks.popleft()[1].acquire()

    def _work(self) -> None:
        together = _room(READ_BYTES + SPARE_BYTES)
        while True:
            slices, buffer, number, lock = self._jobs.get()
            joined = len(slices) > 1 and sum(len(data) for _, data in slices) < len(slices) * JOIN_BYTES
            if joined:
                slices = _join(slices, together)
                self._free.append(buffer)
            for digest, data in slices:
                digest.add(data)
            if not joined:
                self._free.append(buffer)
            self._done = number
            lock.release()
            del slices, digest, data, buffer


def _join(slices: list[Slice], into: memoryview) -> list[Slice]:
    """Return copies of `slices` in `into`, those of one data set that follow each other as one."""
    joined: list[Slice] = []
    start = end = 0
    of = slices[0][0]
    for digest, data in slices:
        if digest is not of:
            joined.append((of, into[start:end]))
            of, start = digest, end
        before, end = end, end + len(data)
        into[before:end] = data
    joined.append((of, into[start:end]))
    return joined
