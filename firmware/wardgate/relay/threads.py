"""Threads beside the loop for what may take long: a handshake whose signature a card makes, SHA-256 of big chunks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from wardgate.relay.loop import Loop

T = TypeVar("T")

MAX_HANDSHAKE_THREADS: Final = 16


class Pool:
    """Runs functions in up to `size` threads, started when needed; results come back on the loop."""

    def __init__(self, loop: Loop, size: int = MAX_HANDSHAKE_THREADS) -> None:
        self._loop = loop
        self._size = size
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = 0
        self._threads = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Functions not begun yet."""
        return self._queue.qsize()

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

        with self._lock:
            if not self._idle and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True, name=f"pool-{self._threads}").start()
            else:
                self._idle = max(0, self._idle - 1)
        self._queue.put(run)

    def _work(self) -> None:
        while True:
            self._queue.get()()
            with self._lock:
                self._idle += 1
