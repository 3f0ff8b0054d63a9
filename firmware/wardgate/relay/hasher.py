"""SHA-256 of data sets: where the bytes lie, on the loop's thread or in one beside it.

`hashlib` lets go of the interpreter lock for chunks above 2 KiB, so a second core hashes a read while the first seals and sends it. A read
is handed over before that and belongs to whoever takes it first: when the thread has not begun by then, no processor was there for it, and
the loop hashes itself, while the bytes are in its cache (decision 091; `Spare` remembers). Bytes of one data set are hashed in their order.
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
from functools import partial
from typing import TYPE_CHECKING, Final

from wardgate.relay.spare import Spare

if TYPE_CHECKING:
    from wardgate.policy.model import Box

READ_BYTES: Final = 278528  # one recv: two take an image of 512 x 512 x 16 bit with its header, where two of 256 KiB leave a rest
SPARE_BYTES: Final = 262144  # room in front for what the walker kept back, and behind for what TLS had buffered
OFFLOAD_BYTES: Final = 49152  # below this a hand-over costs more than it saves
JOIN_BYTES: Final = 65536  # slices shorter than that, on average, are put together: copying them costs less than taking the lock for each
RING: Final = 8
LONE_PATIENCE: Final = 1  # where nobody else of the box wants the thread's processor
BEHIND: Final = 3  # hand-overs that the thread has not looked at: no more until it has

Slice = tuple["Digest", memoryview]


def _room(size: int) -> memoryview:
    """Return `size` bytes that the kernel gives page by page as they are used: where images are small most are not."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Job:
    """Slices of one read that the thread may hash. Whoever takes it first does it, the thread or the loop."""

    __slots__ = ("after", "buffer", "done", "finished", "read", "slices", "take")

    def __init__(self, slices: list[Slice], buffer: memoryview) -> None:
        self.slices = slices
        self.buffer: memoryview | None = buffer  # until the loop has it back
        self.read = False  # nothing is read from `buffer` any more
        self.done = False
        # Bytes of a data set are hashed in their order: the jobs that have those in front, and are not done.
        self.after = {digest.job for digest, _ in slices if digest.job is not None and not digest.job.done}
        for digest, _ in slices:
            digest.job = self
        self.take: Callable[[], bool] = partial(threading.Lock().acquire, False)  # true for the first who calls it
        self.finished = threading.Lock()
        self.finished.acquire()

    def wait(self) -> None:
        """Return when it is done, by whoever has taken it."""
        with self.finished:
            pass

    def hash(self, slices: list[Slice]) -> None:
        """Hash `slices`: those of this job, or copies of them."""
        for digest, data in slices:
            digest.add(data)
        self.slices = []
        self.after = set()
        self.read = self.done = True
        self.finished.release()


def buffers_for(box: Box, processors: int) -> Buffers:
    """Return the buffers of one of the workers of `box`, which may use `processors`: on a single one there is no thread."""
    workers = box.workers or processors
    return Buffers(box.hash_threads if processors > 1 else 0, LONE_PATIENCE if workers < processors else 0)


class Digest:
    """SHA-256 of one data set. `update` is its sink; in a ring of buffers it only notes the slice."""

    __slots__ = ("_buffers", "_sha", "add", "job", "update")

    def __init__(self, buffers: Buffers) -> None:
        self._sha = hashlib.sha256()
        self._buffers = buffers
        self.job: Job | None = None  # the last that has a part of it
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

    def __init__(self, hash_threads: int, patience: int = 0) -> None:
        """`patience`: reads that may wait for the thread before the loop hashes one itself."""
        self.patience = patience
        self.inline = hash_threads == 0
        self.slices: list[Slice] = []
        self.wire = _room(READ_BYTES)
        self._ring = [_room(READ_BYTES + SPARE_BYTES) for _ in range(1 if self.inline else RING)]
        self.plain = self._ring[0]
        self._free = self._ring[1:]
        self._job: Job | None = None  # of the read that is being walked
        self._under_way: deque[Job] = deque()  # in the order of their reads
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._spare = Spare()
        if not self.inline:
            threading.Thread(target=self._work, daemon=True, name="sha256").start()

    @property
    def waiting(self) -> int:
        """Hand-overs that the thread has not looked at yet."""
        return self._jobs.qsize()

    def before_send(self, size: int) -> None:
        """`size` bytes of `plain` are walked and about to be sealed and sent: the thread may hash them meanwhile."""
        if size >= OFFLOAD_BYTES and self._job is None and self._jobs.qsize() < BEHIND and self._spare.wanted():
            self._job = self._hand_over()

    def _hand_over(self) -> Job:
        slices, self.slices = self.slices, []
        job = Job(slices, self.plain)
        self._under_way.append(job)
        self._jobs.put(job)
        return job

    def after_feed(self) -> None:
        """The walker is done with `plain`: hash here what it noted and the thread has not begun with."""
        job, self._job = self._job, None
        if job is None:
            if not self.slices:
                return
            if all(digest.job is None or digest.job.done for digest, _ in self.slices):
                slices, self.slices = self.slices, []
                for digest, data in slices:
                    digest.add(data)
                return
            job = self._hand_over()  # behind what the thread has of a data set
        else:
            if self._jobs.qsize() > self.patience and all(each.done for each in job.after):
                self._take_back(job)
            elif not self._jobs.qsize():
                self._spare.tell(True)
            if self.slices:
                self.settle()
        if job.done:
            job.buffer = None  # it is `plain`, and stays
            self._reap()
        else:
            self.plain = self._next()

    def _take_back(self, job: Job) -> bool:
        """Hash `job` here, if the thread has not begun with it."""
        back = job.take()
        self._spare.tell(not back)
        if back:
            job.hash(job.slices)
        return back

    def _next(self) -> memoryview:
        """Return a buffer that nobody reads."""
        self._reap()
        while not self._free:
            self._wait(self._under_way[0])
            self._reap()
        return self._free.pop()

    def _reap(self) -> None:
        """Take buffers back, and forget what is done."""
        under_way = self._under_way
        for job in under_way:
            if job.read and job.buffer is not None:
                self._free.append(job.buffer)
                job.buffer = None
        while under_way and under_way[0].done and under_way[0].buffer is None:
            under_way.popleft()

    def settle(self, digest: Digest | None = None) -> None:
        """Wait until everything noted so far, or all of `digest`, is hashed."""
        slices, self.slices = self.slices, []
        last = digest.job if digest is not None and not slices else self._under_way[-1] if self._under_way else None
        if last is not None and not last.done:
            self._wait(last)
        for each, data in slices:
            each.add(data)

    def _wait(self, last: Job) -> None:
        """Wait until all jobs up to `last` are done; do here those with which the thread has not begun."""
        for job in self._under_way:
            if not job.done and not self._take_back(job):
                job.wait()
            if job is last:
                return

    def _work(self) -> None:
        together = _room(READ_BYTES + SPARE_BYTES)
        while True:
            job = self._jobs.get()
            for each in job.after:
                each.wait()  # the loop has taken it, or it would be done
            if job.take():
                slices = job.slices
                if len(slices) > 1 and sum(len(data) for _, data in slices) < len(slices) * JOIN_BYTES:
                    slices = _join(slices, together)
                    job.read = True
                job.hash(slices)
                del slices
            del job


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
