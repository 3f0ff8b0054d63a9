"""A process's end of the control socket that the master gave it: what the master says, and what is said to the master."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wardgate.master.control import ControlError, decode, encode
from wardgate.relay.child import CONTROL_BYTES
from wardgate.relay.loop import IN, Loop

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Control:
    """Calls `take(message)` for each message but a ping, which it answers itself, and `gone()` once when the master died."""

    def __init__(self, loop: Loop, sock: socket.socket, take: Callable[[dict[str, Any]], None], gone: Callable[[], None]) -> None:
        self._loop, self._sock, self._take, self._gone = loop, sock, take, gone
        loop.register(sock.fileno(), self._readable, IN)

    def say(self, message: dict[str, Any]) -> None:
        """Send a message. One that finds no master is lost: `gone` tells."""
        try:
            self._sock.send(encode(message))
        except OSError:
            pass

    def _readable(self, _events: int) -> None:
        try:
            data = self._sock.recv(CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._sock.fileno())
            self._gone()
            return
        try:
            message = decode(data)
        except ControlError:
            return
        if message.get("do") == "ping":
            self.say({"is": "alive"})
        else:
            self._take(message)
