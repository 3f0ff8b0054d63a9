"""The end of a leg after its last word: what waits goes out, the channel takes its leave, what still comes is thrown away.

Closing at once would make the kernel send a reset when input is unread, and the peer would lose what was said last (PS3.8 9.2, Sta13).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from wardgate.relay import unsent
from wardgate.relay.loop import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.relay.hasher import Buffers
    from wardgate.relay.loop import Loop
    from wardgate.transport.channel import Channel

SECONDS: Final = 5.0  # for the peer to close
MAX_AT_ONCE: Final = 256  # of a worker; then the longest closes. Nobody counts them any more, and who never closes could fill it with them


class Parting:
    """Takes the socket over, which is registered with `loop`; `over()` once, or after `SECONDS`: close it."""

    def __init__(
        self,
        loop: Loop,
        buffers: Buffers,
        sock: socket.socket,
        channel: Channel | None,
        waiting: unsent.Unsent,
        over: Callable[[], None],
    ) -> None:
        """`waiting`: what was said and has not left yet. Begins at once."""
        self._loop, self._buffers, self._sock, self._channel = loop, buffers, sock, channel
        self._waiting, self._close = waiting, over
        self._listen()
        loop.at(SECONDS, self._over)
        loop.parting[self._over] = None
        if len(loop.parting) > MAX_AT_ONCE:
            next(iter(loop.parting))()
        if takes_leave(channel):
            self.talk_on()
        elif not waiting:
            self._shut()

    def _over(self) -> None:
        """The peer has closed, its time is over, or others need the room; it may have ended before."""
        self.forget()
        self._channel = None  # the timer still holds us
        self._close()

    def forget(self) -> None:
        """It is closed: it takes no place any more."""
        self._loop.parting.pop(self._over, None)

    def ready(self, events: int) -> None:
        """Handle `epoll` events: read and forget; over when the peer has closed."""
        if events & OUT and self._waiting:
            if not self._drain():
                return
            if not self._waiting:
                self._listen()
                if not takes_leave(self._channel):
                    self._shut()
        if events & ~OUT:
            try:
                size = self._sock.recv_into(self._buffers.wire)
            except BlockingIOError:
                return
            except OSError:
                self._over()
                return
            if not size:
                self._over()
            elif takes_leave(self._channel):
                self.talk_on(self._buffers.wire[:size])

    def talk_on(self, wire: memoryview | bytes = b"") -> None:
        """A channel that takes leave in turns: what it says goes out, what it gives is thrown away."""
        assert self._channel is not None
        try:
            self._channel.hold(False)  # what was held is let come too, where we could not speak before
            if wire:
                self._channel.open(wire, self._buffers.plain)
            while self._channel.pending:
                self._channel.open(b"", self._buffers.plain)
            said = self._channel.to_send()
        except Exception:
            self._over()
            return
        if said:
            self._waiting.append(bytes(said))
            if not self._drain():
                return
        self._listen()
        if not self._waiting and not takes_leave(self._channel):
            self._over()

    def _listen(self) -> None:
        self._loop.modify(self._sock.fileno(), IN | (OUT if self._waiting else 0))

    def _drain(self) -> bool:
        """Send what waits, as far as the socket takes it; false when nobody takes it any more."""
        try:
            unsent.send(self._waiting, self._sock)
        except OSError:
            self._over()
            return False
        return True

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._over()


def takes_leave(channel: Channel | None) -> bool:
    """Does the channel still have to take its leave in turns?"""
    return channel is not None and channel.talks and not channel.over
