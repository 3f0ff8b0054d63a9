"""Does what waits for the disk beside the loop, in a few threads: the file system joins what is synced at the same time into one commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

THREADS: Final = 4

Work = Callable[[], None]
Done = Callable[[Exception | None], None]
Job = tuple[Work, Done | None, bool]


class _Thread:
    """One thread and what it is to do next. `awake` is released when `job` is set; None: end."""

    __slots__ = ("awake", "job")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.awake = threading.Lock()
        self.awake.acquire()


class Syncer:
    """`call` brings `done(error)` back to the loop; `error` is None when the work is done and what `sync` makes durable is.

    Work begins in the order in which it was given; with one thread it is done in that order. A job goes to the thread that was idle last,
    and wakes no other: threads that wait at one queue all wake for each job, and cost more than they do.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None], sync: Work | None = None, threads: int = THREADS) -> None:
        self._call = call
        self._sync = sync
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # over the next two
        self._idle: list[_Thread] = []
        self._backlog: deque[Job] = deque()
        self._closed = False

    def submit(self, work: Work, done: Done | None, sync: bool = True) -> None:
        """Run `work` in a thread, then what the syncer was given for `sync`, then `done` on the loop. From any thread."""
        job = (work, done, sync)
        with self._lock:
            if not self._idle and len(self._threads) == self._most:
                self._backlog.append(job)
                return
            idle = self._idle.pop() if self._idle else None
            if idle is None:
                thread = threading.Thread(target=self._run, args=(_Thread(job),), daemon=True, name=f"hold-sync-{len(self._threads)}")
                self._threads.append(thread)
        if idle is None:
            thread.start()
        else:
            idle.job = job
            idle.awake.release()

    def sync(self, done: Done) -> None:
        """Run nothing but what the syncer was given for `sync`, then `done` on the loop."""
        self.submit(_nothing, done)

    def close(self, seconds: float) -> None:
        """Finish what was given and end the threads; wait for each at most `seconds`."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for one in idle:
            one.awake.release()
        for thread in self._threads:
            thread.join(seconds)

    def _run(self, mine: _Thread) -> None:
        while mine.job is not None:
            work, done, sync = mine.job
            error: Exception | None = None
            try:
                work()
                if sync and self._sync is not None:
                    self._sync()
            except Exception as caught:
                error = caught
            with self._lock:
                mine.job = self._backlog.popleft() if self._backlog else None
                wait = mine.job is None and not self._closed
                if wait:
                    self._idle.append(mine)
            if done is not None:
                self._tell(done, error)  # what it leads to may be given to this thread at once
            del work, done
            if wait:
                mine.awake.acquire()

    def _tell(self, done: Done, error: Exception | None) -> None:
        self._call(lambda: done(error))


def _nothing() -> None:
    """The work of who only waits for `sync`."""
