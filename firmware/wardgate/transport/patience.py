"""A deadline for a whole answer by HTTP: a server that gives a byte now and then must not keep a short-lived program for ever.

The timeout of a socket is of each wait for bytes alone, and `http.client` reads the head of an answer in one call: a hundred lines of
64 KiB at a byte in nine seconds take years. Whoever started the program waits for its end before it starts the next.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import http.client
    import socket


def connect_until(connection: http.client.HTTPConnection, deadline: float) -> None:
    """Connect. What is read of the answer must have come by `deadline` (monotonic seconds); later reads raise `TimeoutError`.

    A wait still ends at the connection's own timeout. Raises `OSError`.
    """
    connection.connect()
    connection.sock = _Patient(connection.sock, deadline)  # all of a socket that `http.client` uses


class _Patient:
    """The socket of one connection."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self.sendall, self.close = sock.sendall, sock.close

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._sock, self._deadline))


class _Reading(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock, self._deadline, self._step = sock, deadline, sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)  # the socket stays open until this is closed

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int | None:  # type: ignore[override]  # who reads gives a buffer
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("its answer is too slow")
        self._sock.settimeout(left if self._step is None else min(left, self._step))
        return self._raw.readinto(into)

    def close(self) -> None:
        self._raw.close()
        super().close()
