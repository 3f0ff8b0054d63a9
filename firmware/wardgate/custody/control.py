"""The master's line to the writer, from the writer's end: it tells the state of tokens and the queue, and is answered what is durable.

A writer that is the master's child has it from its start, and its end means that the master died. A writer that has an account of its own
is called by the master, again after each has died: the last who called counts.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Final

from wardgate.codes import Code
from wardgate.custody.connection import is_allowed
from wardgate.custody.options import Options
from wardgate.log import Log

_BYTES: Final = 192 << 10  # `master.control`, whose import would cost the writer `json`


class Control:
    """`fd`: the line, -1 while there is none. `door`: the listening socket's descriptor, -1 for a child."""

    def __init__(self, options: Options, log: Log, epoll: select.epoll) -> None:
        self._uids, self._log, self._epoll = options.uids, log, epoll
        self._called: socket.socket | None = None
        self._listener: socket.socket | None = None
        self.fd, self.door = options.control_fd, -1
        if self.fd >= 0:
            epoll.register(self.fd, select.EPOLLIN)

    def open(self, listener: socket.socket) -> None:
        """Take the master's call on this socket from now on."""
        self._listener = listener
        self.door = listener.fileno()
        self._epoll.register(self.door, select.EPOLLIN)

    def accept(self) -> bool:
        """Somebody calls: the gateway's account may, and its newest call is the line. Return whether there is a new one."""
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return False
        if not is_allowed(sock, self._uids):
            self._log.event(Code.CUSTODY_STRANGER, "control")
            sock.close()
            return False
        self._hang_up()
        sock.setblocking(False)
        self._called, self.fd = sock, sock.fileno()
        self._epoll.register(self.fd, select.EPOLLIN)
        return True

    def read(self) -> bytes | None:
        """Return what the master says, None for nothing yet, b"" when this line has ended."""
        try:
            data = os.read(self.fd, _BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def say(self, data: bytes) -> None:
        """Answer; a master that is gone, or does not read, will ask again."""
        if self.fd >= 0:
            try:
                os.write(self.fd, data)
            except OSError:
                pass

    def close(self) -> None:
        """Close what was opened here."""
        for sock in (self._called, self._listener):
            if sock is not None:
                sock.close()

    def _hang_up(self) -> None:
        if self.fd >= 0:
            self._epoll.unregister(self.fd)
            if self._called is not None:
                self._called.close()
            self._called, self.fd = None, -1
