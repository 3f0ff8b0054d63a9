"""A connection for a thread or program that may wait: plain, or TLS with the peer's certificate judged as in the relay."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Final

from wardgate.transport.peer import TlsRole
from wardgate.transport.tls import TlsChannel

if TYPE_CHECKING:
    from wardgate.transport.context import TlsContexts
    from wardgate.transport.peer import PeerChecker

_READ: Final = 65536


class TooLate(OSError):
    """The deadline has passed."""


class Ended(OSError):
    """The peer closed the connection."""


class BlockingChannel:
    """One connection that `sock` has begun. Each call waits at most until `deadline` (monotonic seconds), which may be moved."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self._channel: TlsChannel | None = None
        self._buffer = memoryview(bytearray(_READ))

    def connect(self) -> None:
        """Wait for the connection. Raises `OSError`."""
        _, ready, _ = select.select([], [self.sock], [], max(0.0, self.deadline - time.monotonic()))
        if not ready:
            raise TooLate("no connection in time")
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "no connection")

    def shake(self, contexts: TlsContexts, checker: PeerChecker) -> None:
        """Do the handshake as client and judge the certificate. Raises `TransportError`, `OSError`."""
        channel = TlsChannel(contexts.client(), False)
        data: bytes | None = None
        while True:
            flight, done = channel.step(data)
            if flight:
                self._put(flight)
            if done:
                break
            data = self._take()
        checker.check(channel.peer_leaf, channel.peer_chain, False, time.time(), TlsRole.SERVER)
        self._channel = channel

    def send(self, data: bytes) -> None:
        """Send plain bytes. Raises `TransportError`, `OSError`."""
        if self._channel is None:
            self._put(data)
            return
        sealed = self._channel.seal(data)
        self._put(sealed if isinstance(sealed, bytes) else b"".join(sealed))

    def receive(self) -> bytes:
        """Return plain bytes of the peer; none may be there although something came. Raises `Ended`, `TransportError`, `OSError`."""
        if self._channel is None:
            return self._take()
        wire = b"" if self._channel.pending or self._channel.ended else self._take()
        size = self._channel.open(wire, self._buffer)
        answer = self._channel.to_send()
        if answer:
            self._put(answer)
        if self._channel.ended and not size:
            raise Ended("the peer closed the connection (close_notify)")
        return bytes(self._buffer[:size])

    def readable(self, seconds: float) -> bool:
        """Wait until something has come, at most so long; the end counts."""
        if self._channel is not None and (self._channel.pending or self._channel.ended):
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def close(self, leave: bool = False) -> None:
        """Hang up; with `leave` say close_notify first."""
        try:
            if leave and self._channel is not None:
                self._put(self._channel.close())
        except OSError:
            pass
        self.sock.close()

    def _put(self, data: bytes) -> None:
        self._wait()
        try:
            self.sock.sendall(data)
        except TimeoutError as error:
            raise TooLate("it took too long") from error

    def _take(self) -> bytes:
        self._wait()
        try:
            data = self.sock.recv(_READ)
        except TimeoutError as error:
            raise TooLate("it took too long") from error
        if not data:
            raise Ended("the peer closed the connection")
        return data

    def _wait(self) -> None:
        """Give the next call what is left of the time."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLate("it took too long")
        self.sock.settimeout(left)
