"""Threads beside the loop for what may take long: a handshake whose signature a card makes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from wardgate.relay.loop import Loop

T = TypeVar("T")

MAX_THREADS: Final = 16
MAX_WAITERS: Final = 48  # one token: each waits for its signature and costs a stack, not the interpreter
FEW_THREADS: Final = 2  # enough while nothing is slow; more would only wait for the interpreter's lock
SLOW_SECONDS: Final = 0.02


class Pool:
    """Runs functions in a few threads, in more when all of them are slow; results come back on the loop."""

    def __init__(self, loop: Loop, size: int = MAX_THREADS) -> None:
        self._loop = loop
        self._size = size
        self._lanes: dict[str, Lane] = {}
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()  # `None`: nothing comes any more
        self._began: dict[int, float] = {}  # thread number -> since when it works; 0: it waits
        loop.each_tick(self._look)

    @property
    def waiting(self) -> int:
        """Functions not begun yet, those of the lanes too."""
        return self._queue.qsize() + sum(lane.waiting for lane in self._lanes.values())

    def lane(self, token: str) -> Lane:
        """Return the threads for steps that wait for `token`."""
        if token not in self._lanes:
            self._lanes[token] = Lane(self._loop)
        return self._lanes[token]

    def close(self) -> None:
        """Let each thread end when it has nothing to do; nothing more may be submitted."""
        for pool in (self, *self._lanes.values()):
            for _ in pool._began:
                pool._queue.put(None)

    def submit(self, work: Callable[[], T], done: Callable[[T | None, Exception | None], None]) -> None:
        """Run `work` in a thread, then `done(result, error)` on the loop."""

        def run() -> None:
            result: T | None = None
            error: Exception | None = None
            try:
                result = work()
            except Exception as caught:
                error = caught
            self._loop.call(lambda: done(result, error))

        self._queue.put(run)
        self._look()

    def _look(self) -> None:
        """Start another thread when work waits and nobody will come for it soon."""
        threads = len(self._began)
        if 0 in self._began.values() or threads >= self._size or not self._queue.qsize():
            return
        if threads >= FEW_THREADS:
            slow = time.monotonic() - SLOW_SECONDS
            if not all(began < slow for began in self._began.values()):
                return
        self._start()

    def _start(self) -> None:
        number = len(self._began)
        self._began[number] = time.monotonic()
        threading.Thread(target=self._work, args=(number,), daemon=True, name=f"pool-{number}").start()

    def _work(self, number: int) -> None:
        began = self._began
        while True:
            began[number] = 0
            function = self._queue.get()
            if function is None:
                return
            began[number] = time.monotonic()
            function()
            del function  # while we wait it would keep an association that has ended


class Lane(Pool):
    """Threads of their own for what waits for one token, so that a slow card delays only who needs it: a thread for each that waits."""

    def __init__(self, loop: Loop, size: int = MAX_WAITERS) -> None:
        super().__init__(loop, size)
        self._unfinished = 0

    def submit(self, work: Callable[[], T], done: Callable[[T | None, Exception | None], None]) -> None:
        """Run `work` in a thread, then `done(result, error)` on the loop."""

        def finished(result: T | None, error: Exception | None) -> None:
            self._unfinished -= 1
            done(result, error)

        self._unfinished += 1
        super().submit(work, finished)

    def _look(self) -> None:
        while len(self._began) < min(self._unfinished, self._size):
            self._start()
