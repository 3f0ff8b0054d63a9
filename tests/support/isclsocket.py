"""A peer that speaks ISCL, as a blocking socket: the product's engine and channel on a test's connection."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from wardgate.iscl.errors import IsclError
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.terms import Role
from wardgate.policy.model import Iscl
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of

_SECONDS = 60.0
KEY_LINES = (
    "auth-1-c2s 0123456789abcdef",
    "auth-1-s2c fedcba9876543210",
    f"aes-auth-1-c2s {bytes(range(32)).hex()}",
    f"aes-auth-1-s2c {bytes(range(32, 64)).hex()}",
)


def key_file(folder: Path) -> Path:
    """Write a laboratory's key file."""
    path = folder / "iscl.keys"
    path.write_text("\n".join(KEY_LINES) + "\n")
    path.chmod(0o600)
    return path


def box_table(folder: Path, **words: object) -> Iscl:
    """Return the box's view of a peer PACS."""
    return Iscl(**{"name": "GWAY", "peer_name": "PACS", "keys": str(key_file(folder)), "unsafe_allow_des": True, **words})  # type: ignore[arg-type]


class IsclSocket:
    """The face of `socket.socket` that `support.wire.Wire` uses. `table` is the box's: this is the other side."""

    def __init__(self, sock: socket.socket, table: Iscl, role: Role) -> None:
        self.sock = sock
        self._seconds: float | None = _SECONDS
        sock.settimeout(_SECONDS)
        own = table._replace(name=table.peer_name, peer_name=table.name)
        settings = settings_of(own)
        self.channel = IsclChannel(role, settings, LibPrimitives(), opener(own, settings, "").open())
        self._plain = bytearray()
        self._into = memoryview(bytearray(1 << 20))
        wire, done = self.channel.step(None)
        self._say(wire)
        while not done:
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("the box ended the connection in the handshake")
            wire, done = self.channel.step(data)
            self._say(wire)
        self.channel.attach(lambda work, finished: finished(work(), None), lambda _error: None)
        self._turn = threading.Condition()
        self._ended = False
        sock.settimeout(None)
        threading.Thread(target=self._pump, daemon=True).start()

    def _say(self, wire: bytes | bytearray | list[bytes]) -> None:
        data = b"".join(wire) if isinstance(wire, list) else wire
        if data:
            self.sock.sendall(data)

    def _pump(self) -> None:
        """Read until the end: each side has to answer while it speaks."""
        try:
            while data := self.sock.recv(65536):
                with self._turn:
                    size = self.channel.open(data, self._into)
                    self._plain += self._into[:size]
                    while self.channel.pending:
                        size = self.channel.open(b"", self._into)
                        self._plain += self._into[:size]
                    self._say(self.channel.to_send())
                    self._turn.notify_all()
        except (OSError, IsclError):
            pass
        with self._turn:
            self._ended = True
            self._turn.notify_all()

    def sendall(self, data: bytes) -> None:
        """Send, through the turns that it takes."""
        with self._turn:
            self._say(self.channel.seal(data))
            if not self._turn.wait_for(lambda: self._ended or not self.channel.busy, self._seconds):
                raise TimeoutError("the box does not take it")
            if self.channel.busy:
                raise ConnectionError("ended while sending")

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; empty when the other side took its leave or is gone."""
        with self._turn:
            if not self._turn.wait_for(lambda: self._plain or self._ended or self.channel.ended, self._seconds):
                raise TimeoutError("nothing came")
            data = bytes(self._plain[:size])
            del self._plain[:size]
            return data

    def close(self) -> None:
        """Take leave when there is still somebody, and close."""
        with self._turn:
            try:
                self._say(self.channel.close())
                self._turn.wait_for(lambda: self._ended or self.channel.over, 5.0)
                self.sock.shutdown(socket.SHUT_RDWR)
            except (OSError, IsclError):
                pass
        self.sock.close()

    def settimeout(self, seconds: float | None) -> None:
        """As `socket.socket`."""
        self._seconds = seconds

    def setsockopt(self, *words: object) -> None:
        """As `socket.socket`."""
        self.sock.setsockopt(*words)  # type: ignore[call-overload]

    def fileno(self) -> int:
        """As `socket.socket`."""
        return self.sock.fileno()
