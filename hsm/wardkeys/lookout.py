"""Looks for the next request of a caller that asks alone, before the service sleeps.

A service that slept is woken on a processor that was halted, or has other code in its caches; its part of a signature then takes several
times as long. So after a quick signature it looks for the next one, but only where one connection asked for the last few (several callers
keep the processors busy themselves), and only as long as nobody else wants this processor.
"""

from __future__ import annotations

import os
import resource
import select
import time
from typing import Final

LOOK_SECONDS: Final = 0.003  # a TLS handshake without its signature takes less
IN_TURN: Final = 4  # so many signatures of one connection, one after the other, before any is looked for
SLEEPS: Final = 16  # so many are slept for once somebody else wanted the processor: who yields to others waits for milliseconds
_OTHERS_SECONDS: Final = 0.00005  # a yield that lasted so long may have let somebody else have the processor: the kernel's count tells


class Lookout:
    """For the thread that runs the service's loop."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._asked_by = -1
        self._in_turn = 0
        self._sleeps = 0
        self._due = False

    def signed(self, fd: int) -> None:
        """A quick signature for the connection `fd` was answered just now."""
        self._in_turn = self._in_turn + 1 if fd == self._asked_by else 1
        self._asked_by = fd
        self._due = self._in_turn >= IN_TURN
        if self._due and self._sleeps:
            self._sleeps -= 1
            self._due = False

    def look(self) -> list[tuple[int, int]]:
        """Return what the poll has ready, at once when there is nothing to look for; empty: now sleep."""
        if not self._due:
            return []
        self._due = False
        lost = times_lost()
        last = time.monotonic()
        end = last + LOOK_SECONDS
        while last < end:
            ready = self._poll.poll(0, 64)
            if ready:
                return ready
            before = time.monotonic()
            os.sched_yield()
            last = time.monotonic()
            if last - before >= _OTHERS_SECONDS and times_lost() != lost:
                self._sleeps = SLEEPS
                return []
        self._in_turn = 0  # it asks too seldom
        return []


def times_lost() -> int:
    """How often the kernel gave this thread's processor to another. What the host of a virtual machine takes is not counted."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
