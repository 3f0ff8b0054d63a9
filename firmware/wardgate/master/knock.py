"""One question to the custody writer that needs no record: does its loop turn? Any answer, a closed connection too, says yes."""

from __future__ import annotations

import socket

from wardgate.custody.wire import NO_ASSOCIATION, Op, encode_item
from wardgate.master.loop import IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardgate.master.loop import Loop


class Knock:
    """At most one question at a time. `path`: the writer's socket."""

    def __init__(self, loop: Loop, path: str) -> None:
        self._loop, self._path = loop, path
        self._socket: socket.socket | None = None
        self._since = 0.0
        self._refused = False  # the last question found no room

    def ask(self, now: float) -> float:
        """Ask, unless a question is out; return for how many seconds the one that is out, or found no room, has had no answer."""
        if self._socket is None:
            if not self._refused:
                self._since = now
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                sock.connect(self._path)
                sock.send(encode_item(Op.PING, 1, NO_ASSOCIATION, 0, b""))
            except BrokenPipeError:
                sock.close()  # it took the connection and closed it again: its loop turned
                self._refused = False
                return 0.0
            except OSError:
                sock.close()  # its queue is full, or it is going. Watched, such a socket would say at once that it hung up
                self._refused = True
                return now - self._since
            self._socket = sock
            self._loop.watch(sock.fileno(), IN, lambda _events: self.forget())
        return now - self._since

    def forget(self) -> None:
        """It answered, or ended: the next question is a new one."""
        self._refused = False
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
