"""One connection of a caller, and one request of it: answered once, by whoever is first (the token's thread or the deadline)."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Final

from wardgate.codes import Code
from wardkeys import wire
from wardkeys.uri import Uri

MAX_WAITING: Final = 32  # requests of one connection that are not answered yet
MAX_CHALLENGES: Final = 16
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Connection:
    """A caller. Its socket is closed by the service's thread and written by the threads of the tokens: `lock` keeps those apart."""

    __slots__ = ("challenges", "fd", "is_watcher", "lock", "open", "pid", "socket", "uid", "waiting")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.fd = sock.fileno()
        self.pid, self.uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        self.waiting: dict[int, Request] = {}
        self.challenges: dict[bytes, None] = {}  # ISCL challenges given here and not used yet, oldest first
        self.is_watcher = False
        self.open = True
        self.lock = threading.Lock()

    def send(self, packet: bytes) -> None:
        """Send one message; a caller that does not read what it asked for loses its connection."""
        with self.lock:
            if not self.open:
                return
            try:
                self.socket.send(packet)
            except OSError:
                try:
                    self.socket.shutdown(socket.SHUT_RDWR)  # the service's thread sees the end and closes
                except OSError:
                    pass

    def close(self) -> None:
        """Close it. Only the service's thread does this."""
        with self.lock:
            self.open = False
            self.socket.close()
        self.waiting.clear()

    def give(self, challenge: bytes) -> None:
        """Remember a challenge that this caller may have answered, once."""
        while len(self.challenges) >= MAX_CHALLENGES:
            self.challenges.pop(next(iter(self.challenges)), None)
        self.challenges[challenge] = None

    def take(self, challenge: bytes) -> bool:
        """Use up a challenge; False when it was not given here or is used already."""
        return self.challenges.pop(challenge, 0) is None


class Request:
    """One request. `fields` are those of `wire.Op`; `uri` is field 0, parsed."""

    __slots__ = ("connection", "deadline", "fields", "number", "op", "uri")

    def __init__(self, connection: Connection, op: int, number: int, fields: list[bytes], deadline: float) -> None:
        self.connection = connection
        self.op = op
        self.number = number
        self.fields = fields
        self.uri = Uri()
        self.deadline = deadline

    @property
    def waits(self) -> bool:
        """Is an answer still wanted?"""
        return self.connection.waiting.get(self.number) is self

    def _claim(self) -> bool:
        """Be the one who answers. After a deadline another request may have the same number: it is not taken away."""
        with self.connection.lock:
            return self.waits and self.connection.waiting.pop(self.number, None) is self

    def answer(self, fields: list[bytes]) -> None:
        """Answer with success, unless somebody has answered."""
        if self._claim():
            self.connection.send(wire.encode_response(self.op, self.number, 0, fields))

    def fail(self, code: Code, detail: str) -> None:
        """Answer with a failure, unless somebody has answered."""
        if self._claim():
            self.connection.send(wire.encode_failure(self.op, self.number, code.value.number, detail))
