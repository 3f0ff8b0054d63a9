"""Does what waits for the disk beside the loop, in a few threads: the file system joins what is synced at the same time into one commit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

THREADS: Final = 4

Work = Callable[[], None]
Done = Callable[[Exception | None], None]


class Syncer:
    """`call` brings `done(error)` back to the loop; `error` is None when the work is done and what `sync` makes durable is.

    With one thread, work is done in the order in which it was given.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None], sync: Work | None = None, threads: int = THREADS) -> None:
        self._call = call
        self._sync = sync
        self._queue: queue.SimpleQueue[tuple[Work, Done, bool] | None] = queue.SimpleQueue()
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._busy = 0  # jobs given and not done, counted on the loop

    def submit(self, work: Work, done: Done, sync: bool = True) -> None:
        """Run `work` in a thread, then what the syncer was given for `sync`, then `done` on the loop."""
        self._busy += 1

        def finished(error: Exception | None) -> None:
            self._busy -= 1
            done(error)

        if len(self._threads) < min(self._busy, self._most):
            thread = threading.Thread(target=self._run, daemon=True, name=f"hold-sync-{len(self._threads)}")
            self._threads.append(thread)
            thread.start()
        self._queue.put((work, finished, sync))

    def close(self, seconds: float) -> None:
        """Finish what was given and end the threads; wait for each at most `seconds`."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            work, done, sync = job
            error: Exception | None = None
            try:
                work()
                if sync and self._sync is not None:
                    self._sync()
            except Exception as caught:
                error = caught
            self._tell(done, error)

    def _tell(self, done: Done, error: Exception | None) -> None:
        self._call(lambda: done(error))
