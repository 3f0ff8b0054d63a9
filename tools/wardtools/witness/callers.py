"""Who is connected to a witness: so many at most, none for ever. Whoever is slow gives way to whoever comes.

At the cap the oldest connection of the address that has most is cut: an answer takes milliseconds, so it is not one that is being served.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final, NamedTuple

MAX_CALLERS: Final = 32
TOTAL_SECONDS: Final = 30.0  # of one connection, whatever comes on it


class _Caller(NamedTuple):
    address: str
    since: float
    sock: socket.socket


class Callers:
    """The connections of one server. Any thread."""

    def __init__(self, most: int = MAX_CALLERS, total_seconds: float = TOTAL_SECONDS) -> None:
        self._most, self._total_seconds = most, total_seconds
        self._lock = threading.Lock()
        self._there: dict[int, _Caller] = {}  # by descriptor, the oldest first

    def enter(self, sock: socket.socket, address: str) -> None:
        """A connection begins; another may have to give way."""
        with self._lock:
            if len(self._there) >= self._most:
                self._cut(self._giving_way())
            self._there[sock.fileno()] = _Caller(address, time.monotonic(), sock)

    def replace(self, sock: socket.socket) -> None:
        """The same connection goes on by this socket, which has its descriptor: TLS is around it."""
        with self._lock:
            if (known := self._there.get(sock.fileno())) is not None:
                self._there[sock.fileno()] = known._replace(sock=sock)

    def leave(self, sock: socket.socket) -> None:
        """It ends; to be called before its descriptor is closed."""
        with self._lock:
            if (known := self._there.get(sock.fileno())) is not None and known.sock is sock:
                del self._there[sock.fileno()]

    def look(self) -> None:
        """Cut those that are past their time."""
        limit = time.monotonic() - self._total_seconds
        with self._lock:
            for descriptor in [each for each, caller in self._there.items() if caller.since < limit]:
                self._cut(descriptor)

    def _giving_way(self) -> int:
        counts: dict[str, int] = {}
        for caller in self._there.values():
            counts[caller.address] = counts.get(caller.address, 0) + 1
        return max(self._there, key=lambda each: (counts[self._there[each].address], -self._there[each].since))

    def _cut(self, descriptor: int) -> None:
        """Its thread sees the end of the connection, and closes it."""
        caller = self._there.pop(descriptor)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(caller.sock, socket.SHUT_RDWR)  # not that of TLS, which waits and is the other thread's
