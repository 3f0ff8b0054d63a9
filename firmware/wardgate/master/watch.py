"""The master's connection to the key service: told of every change of a token, connected again when it ends."""

from __future__ import annotations

import socket

from wardgate.master.loop import IN
from wardgate.token.watching import MAX_PACKET, STATUS, WATCH, WatchError, report_in, request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.master.loop import Loop

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 1.0  # a key service that comes back serves again within this
_ALIVE_SECONDS = 10.0  # asked so often; one that has not answered by the next time counts as away


class KeyWatch:
    """`on_report(report)` on the loop: what WATCH said, or None when the key service is away, with `problem` saying why."""

    def __init__(self, loop: Loop, path: str, on_report: Callable[[object], None]) -> None:
        self._loop, self._path, self._on_report = loop, path, on_report
        self._socket: socket.socket | None = None
        self._delay = _FIRST_SECONDS
        self._number = 0
        self._heard = True
        self._closed = False
        self.problem = ""
        self.connected = False

    def start(self) -> None:
        """Begin; whoever hears `on_report` may already hear it from within."""
        self._connect()
        self._loop.after(_ALIVE_SECONDS, self._still_there)

    def close(self) -> None:
        """Watch no more; nothing is called any more."""
        self._closed = True
        self._drop()

    def _connect(self) -> None:
        if self._closed:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(self._path)
            self._number += 1
            sock.send(request(WATCH, self._number))
        except OSError as error:
            sock.close()
            self._away(error.strerror or "no answer")
            return
        self._socket, self._heard = sock, True
        self._loop.watch(sock.fileno(), IN, self._readable)

    def _readable(self, _events: int) -> None:
        assert self._socket is not None
        try:
            packet = self._socket.recv(MAX_PACKET + 1)
        except BlockingIOError:
            return
        except OSError as error:
            self._away(error.strerror or "lost")
            return
        if not packet:
            self._away("it closed the connection")
            return
        try:
            report = report_in(packet)
        except WatchError as error:
            self._away(str(error))
            return
        self._heard = self.connected = True
        self._delay, self.problem = _FIRST_SECONDS, ""
        self._on_report(report)

    def _still_there(self) -> None:
        if self._closed:
            return
        self._loop.after(_ALIVE_SECONDS, self._still_there)
        if self._socket is None:
            return
        if not self._heard:
            self._away(f"silent for {_ALIVE_SECONDS:.0f} s")
            return
        self._heard = False
        self._number += 1
        try:
            self._socket.send(request(STATUS, self._number))
        except OSError as error:
            self._away(error.strerror or "lost")

    def _away(self, problem: str) -> None:
        self._drop()
        self.problem = problem
        self._loop.after(self._delay, self._connect)
        self._delay = min(_LONGEST_SECONDS, self._delay * 2)
        self._on_report(None)

    def _drop(self) -> None:
        self.connected = False
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
