"""RUN_DIR/status.sock (mode 0600, with management 0660): whoever connects gets the status as JSON and the end of the stream."""

from __future__ import annotations

import json
import os
import socket

from wardgate.master.loop import IN, OUT, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAX_CLIENTS = 8
_CLIENT_SECONDS = 10.0


class StatusPort:
    """Accepts and answers. `ask(answer)` is called for each client and calls `answer(status)` when it has it."""

    def __init__(self, loop: Loop, path: str, ask: Callable[[Callable[[dict[str, Any]], None]], None], mode: int = 0o600) -> None:
        self._loop, self._ask, self._path = loop, ask, path
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            os.unlink(path)  # of a master that was killed: the lock on the directory says that it is gone
        except FileNotFoundError:
            pass
        self._socket.bind(path)
        os.chmod(path, mode)
        self._socket.listen(_MAX_CLIENTS)
        loop.watch(self._socket.fileno(), IN, self._accept)

    def close(self) -> None:
        """Answer nobody any more."""
        for fd in list(self._clients):
            self._drop(fd)
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        if len(self._clients) >= _MAX_CLIENTS:
            client.close()
            return
        client.setblocking(False)
        fd = client.fileno()
        self._clients[fd] = (client, bytearray())
        self._loop.after(_CLIENT_SECONDS, lambda: self._drop_if(fd, client))
        self._ask(lambda status: self._answer(fd, client, status))

    def _answer(self, fd: int, client: socket.socket, status: dict[str, Any]) -> None:
        entry = self._clients.get(fd)
        if entry is not None and entry[0] is client:
            entry[1].extend(json.dumps(status).encode())
            self._loop.watch(fd, OUT, lambda _events: self._write(fd))

    def _write(self, fd: int) -> None:
        client, data = self._clients[fd]
        try:
            del data[: client.send(data)]
        except BlockingIOError:
            return
        except OSError:
            data.clear()
        if not data:
            self._drop(fd)

    def _drop_if(self, fd: int, client: socket.socket) -> None:
        entry = self._clients.get(fd)
        if entry is not None and entry[0] is client:
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        self._loop.forget(fd)
        self._clients.pop(fd)[0].close()
