"""The UNIX socket on which the forwarder is asked: one packet of JSON in, one out. Mode 0600 in a directory of mode 0700."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, Final

from wardgate.relay.loop import IN, Loop
from wardgate.unixsocket import listening

MAX_BYTES: Final = 65536
MAX_CALLERS: Final = 16
_SECONDS: Final = 5.0


class Port:
    """Asks `answer(question)` on the loop."""

    def __init__(self, loop: Loop, path: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._loop = loop
        self._path = path
        self._answer = answer
        self._socket: socket.socket | None = None
        self._callers = 0

    def listen(self) -> None:
        """Begin, in place of a socket that nobody serves any more. Raises `OSError`."""
        self._socket = listening(self._path, 8)
        self._loop.register(self._socket.fileno(), self._called, IN)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _called(self, _events: int) -> None:
        assert self._socket is not None
        try:
            caller, _ = self._socket.accept()
        except OSError:
            return
        if self._callers >= MAX_CALLERS:
            caller.close()
            return
        self._callers += 1
        caller.setblocking(False)
        open_ = [True]

        def end() -> None:
            if open_[0]:
                open_[0] = False
                self._callers -= 1
                self._loop.discard(caller)

        def readable(_events: int) -> None:
            try:
                data = caller.recv(MAX_BYTES)
                if data:
                    caller.send(self._reply(data))
            except OSError:
                pass
            end()

        self._loop.register(caller.fileno(), readable, IN)
        self._loop.at(_SECONDS, end)

    def _reply(self, data: bytes) -> bytes:
        try:
            question = json.loads(data)
            answer = self._answer(question) if isinstance(question, dict) else {"ok": False, "error": "not a question"}
        except ValueError:
            answer = {"ok": False, "error": "not JSON"}
        except OSError as error:
            answer = {"ok": False, "error": error.strerror or "the disk failed"}
        return json.dumps(answer).encode("ascii")[:MAX_BYTES]


def ask(path: str, question: dict[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
    """Ask the forwarder whose socket is at `path`. Blocks. Raises `OSError`, `ValueError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(seconds)
        sock.connect(path)
        sock.send(json.dumps(question).encode("ascii"))
        answer = json.loads(sock.recv(MAX_BYTES))
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a table")
    return answer
