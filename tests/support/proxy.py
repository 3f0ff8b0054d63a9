"""A TCP proxy that a test steers: it can flip a byte, or cut, and counts what passes. Stands for the network."""

from __future__ import annotations

import contextlib
import socket
import threading

from support.processes import LOOPBACK


class Proxy:
    """Listens on `port` and relays to `target`. Bytes `back` come from the target, bytes `forth` from the caller."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((LOOPBACK, port))
        self._flip = ""
        self._least = 0
        self._sockets: list[socket.socket] = []
        self.passed = {"forth": 0, "back": 0}
        self.flipped_at: dict[str, int] | None = None  # what had passed when the byte was flipped
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def flip(self, way: str, least: int = 0) -> None:
        """Flip one bit in the middle of the next piece that passes `way` ("forth" or "back") and has at least so many bytes."""
        self._least = least
        self._flip = way

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
                target = socket.create_connection((LOOPBACK, self._target))
            except OSError:
                return
            self._sockets += [caller, target]
            threading.Thread(target=self._pump, args=(caller, target, "forth"), daemon=True).start()
            threading.Thread(target=self._pump, args=(target, caller, "back"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while piece := source.recv(65536):
                if self._flip == way and len(piece) >= self._least:
                    self._flip = ""
                    middle = len(piece) // 2
                    piece = piece[:middle] + bytes((piece[middle] ^ 1,)) + piece[middle + 1 :]
                    self.flipped_at = dict(self.passed)
                self.passed[way] += len(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # a reset (who drops a connection with bytes unread sends one): the other side is told, as a network would
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
