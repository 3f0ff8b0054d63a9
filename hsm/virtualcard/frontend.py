"""What both front ends share: a socket, the card behind it, the time a signature takes, and an end that any thread may call for."""

from __future__ import annotations

import contextlib
import socket
import threading

from virtualcard.card import Card

RECEIVE_BYTES = 65536


class FrontEnd:
    """Serves one insertion of one card over one connected socket. `serve` returns when the card is removed or the peer went away."""

    def __init__(self, card: Card, channel: socket.socket, delay_seconds: float = 0.0) -> None:
        self.card = card
        self.delay_seconds = delay_seconds  # may be changed while it serves
        self._channel = channel
        self._removed = threading.Event()
        self._tcp = channel.family in (socket.AF_INET, socket.AF_INET6)
        if self._tcp:
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer until the end."""
        try:
            self._begin()
            while not self._removed.is_set():
                if self._tcp:
                    # vpcd sends length and body separately: without this each APDU waits 40 ms for a delayed ACK.
                    self._channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                data = self._channel.recv(RECEIVE_BYTES)
                if not data:
                    break
                self._received(data)
        except OSError:
            pass  # the reader went away, or the card was removed
        finally:
            self.remove()

    def remove(self) -> None:
        """Take the card out: the peer sees the end of the connection, a command under way gets no answer."""
        self._removed.set()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()

    def _begin(self) -> None:
        """Say what comes first."""

    def _received(self, data: bytes) -> None:
        raise NotImplementedError

    def _send(self, data: bytes) -> None:
        if not self._removed.is_set():
            self._channel.sendall(data)

    def _answer(self, apdu: bytes) -> bytes:
        """Let the card answer, and let a signature take its time."""
        answer = self.card.process(apdu)
        if self.card.used_private_key and self.delay_seconds > 0:
            self._removed.wait(self.delay_seconds)
        return answer
