"""Watches how much memory the workers hold: one that has grown too far is replaced while its associations run to their end.

A worker lives for months. CPython loses some KiB each time that the session of a TLS client is taken out of its connection
(`SSLObject.session`, seen with 3.11 and 3.13), and a leak of ours may be found late: neither may end in the kernel's choice of a victim.
"""

from __future__ import annotations

import time

from wardgate.master.children import memory_bytes
from wardgate.master.generation import Phase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.master.generation import Generation
    from wardgate.master.loop import Loop

LOOK_SECONDS = 60.0
REST_SECONDS = 3600.0  # between two replacements: a worker that needs so much for its work is not replaced all day


class Weight:
    """Calls `heavy(pid, bytes)` when a serving worker holds more than its `limits.worker_mebibytes`; true: something was done about it."""

    def __init__(self, loop: Loop, generations: Callable[[], list[Generation]], heavy: Callable[[int, int], bool]) -> None:
        self._loop, self._generations, self._heavy = loop, generations, heavy
        self._rest_until = 0.0

    def start(self) -> None:
        """Look every minute."""
        self._loop.after(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Look once, and again after a minute."""
        self.start()
        if time.monotonic() < self._rest_until:
            return
        for generation in self._generations():
            if generation.phase is not Phase.SERVING:
                continue
            bound = generation.config["limits"]["worker_mebibytes"] << 20
            for worker in generation.workers.values():
                size = memory_bytes(worker.pid)
                if size > bound and self._heavy(worker.pid, size):
                    self._rest_until = time.monotonic() + REST_SECONDS
                    return
