"""Makes files durable beside the loop: what comes while one group is synced is the next group, with one sync of the directory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from wardgate.hold.files import Files

MAX_GROUP: Final = 256

Work = Callable[[], None]
Done = Callable[[Exception | None], None]


class Syncer:
    """One thread. `call` brings `done(error)` back to the loop; `error` is None when the work and the directory are durable."""

    def __init__(self, files: Files, directory: str, call: Callable[[Callable[[], None]], None]) -> None:
        self._files = files
        self._directory = directory
        self._call = call
        self._queue: queue.SimpleQueue[tuple[Work, Done, bool]] = queue.SimpleQueue()
        self._started = False

    def submit(self, work: Work, done: Done, sync: bool = True) -> None:
        """Run `work` in the thread, then sync the directory if `sync`, then `done` on the loop."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, daemon=True, name="hold-sync").start()
        self._queue.put((work, done, sync))

    def _run(self) -> None:
        while True:
            group = [self._queue.get()]
            while len(group) < MAX_GROUP:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._serve(group)

    def _serve(self, group: list[tuple[Work, Done, bool]]) -> None:
        results: list[tuple[Done, Exception | None]] = []
        wanted = False
        for work, done, sync in group:
            error: Exception | None = None
            try:
                work()
                wanted |= sync
            except Exception as caught:
                error = caught
            results.append((done, error))
        if wanted:
            try:
                self._files.sync_directory(self._directory)
            except OSError as caught:
                results = [(done, error or caught) for done, error in results]

        def tell() -> None:
            for done, error in results:
                done(error)

        self._call(tell)
