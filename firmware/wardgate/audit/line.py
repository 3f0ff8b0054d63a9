"""One audit repository: a thread that sends it what the spool has, in order, over one TLS connection (RFC 5425).

RFC 5425 has no acknowledgement. A message counts as delivered when the repository's TCP has acknowledged all its bytes and the connection
has lived on for `SETTLE_SECONDS` after that; what a broken connection leaves behind it is sent again on the next one (at least once).
"""

from __future__ import annotations

import errno
import fcntl
import random
import socket
import struct
import termios
import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from wardgate.audit.syslog import frame
from wardgate.codes import Code
from wardgate.hold.pause import Pauses
from wardgate.transport.blocking import BlockingChannel
from wardgate.transport.context import TlsContexts
from wardgate.transport.crl import CrlStore
from wardgate.transport.peer import PeerChecker
from wardgate.transport.sockets import PlainSockets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wardgate.audit.spool import Spool
    from wardgate.policy.audit import Repository
    from wardgate.policy.model import Keys

SETTLE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 20.0  # TCP and TLS together: a card may have to sign
_STALL_SECONDS: Final = 30.0  # a repository that takes nothing for so long is broken off
_LONGEST_PAUSE: Final = 60.0
_IDLE_SECONDS: Final = 0.2
_FIRST_WORD_SECONDS: Final = 0.5
_WELL_SECONDS: Final = 60.0
_AT_ONCE: Final = 64  # messages
_MAX_OPEN: Final = 1024  # messages sent and not counted as delivered yet


class State(Enum):
    """Of a line."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    PAUSED = "paused"
    CLOSED = "closed"


class Line(threading.Thread):
    """Sends to `repository` from `position` on. `tell(code, fields)` is called on this thread when the state changes."""

    def __init__(
        self,
        repository: Repository,
        spool: Spool,
        position: int,
        lists: Path,
        keys: Keys,
        floor: float,
        tell: Callable[[Code, dict[str, Any]], None],
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        """`lists`: directory of fetched CRLs."""
        super().__init__(name=f"audit-{repository.name}", daemon=True)
        self.repository = repository
        self.position = position  # the first message that may not have been delivered
        self.lost = 0  # that went from the spool before they were delivered
        self.delivered = 0
        self.state = State.CONNECTING
        self.problem = ""
        self.since = time.time()
        self._spool, self._lists, self._keys, self._floor, self._tell = spool, lists, keys, floor, tell
        self._settle_seconds = settle_seconds
        self._pauses = Pauses(_LONGEST_PAUSE, random.random)
        self._stopping = False
        self._next = position
        self._open: deque[tuple[int, float]] = deque()  # of what was sent: the number behind it, and when TCP had it; 0: not yet

    @property
    def idle(self) -> bool:
        """Has everything been delivered?"""
        return self.position >= self._spool.synced

    def end(self) -> None:
        """Close the connection, with close_notify, and end."""
        self._stopping = True

    def report(self) -> dict[str, Any]:
        """Return what the status shows."""
        return {
            "name": self.repository.name,
            "at": self.repository.connect.text,
            "state": self.state.value,
            "since": int(self.since),
            "waiting": max(0, self._spool.next - max(self.position, self._spool.first)),
            "delivered": self.delivered,
            "lost": self.lost,
            "problem": self.problem,
        }

    def run(self) -> None:
        """Connect, send, and begin again."""
        while not self._stopping:
            try:
                self._session()
            except Exception as error:  # whatever it is: this repository waits, others and the box go on
                self._failed(error)
                self._wait(self._pauses.failed(time.monotonic()))
        self._change(State.CLOSED)

    def _session(self) -> None:
        self._change(State.CONNECTING)
        tls = self.repository.tls
        sock = PlainSockets().connect(self.repository.connect)
        channel = BlockingChannel(sock, time.monotonic() + _CONNECT_SECONDS)
        leave = False
        try:
            channel.connect()
            checker = PeerChecker(tls, CrlStore(tls.crls, self._lists), self._floor)
            channel.shake(TlsContexts(tls, keys=self._keys), checker)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_STALL_SECONDS * 1000))
            # With TLS 1.3 a server judges our certificate after our handshake is done: its first word is a ticket, or an alert.
            if channel.readable(_FIRST_WORD_SECONDS):
                channel.receive()
            self._open.clear()
            self._next = self.position
            self._change(State.CONNECTED)
            self.problem = ""
            self._tell(Code.AUDIT_CONNECTED, {"at": self.repository.connect.text})
            while not self._stopping:
                self._turn(channel)
            leave = True
        finally:
            channel.close(leave)

    def _turn(self, channel: BlockingChannel) -> None:
        self._skip()
        batch = self._spool.read(self._next, _AT_ONCE) if len(self._open) < _MAX_OPEN else []
        channel.deadline = time.monotonic() + _STALL_SECONDS
        if batch:
            channel.send(b"".join(frame(message.data) for message in batch))
            self._open += [(message.number + 1, 0.0) for message in batch]
            self._next = batch[-1].number + 1
        # RFC 5425 4.4: the repository has nothing to say but close_notify; the end of the connection is seen here too.
        if channel.readable(0.0 if batch else _IDLE_SECONDS):
            channel.receive()
        self._settle(channel.sock)
        if time.time() - self.since > _WELL_SECONDS:
            self._pauses.worked()

    def _settle(self, sock: socket.socket) -> None:
        """Count as delivered what TCP has had for long enough."""
        if not self._open:
            return
        now = time.monotonic()
        if _unacknowledged(sock) == 0:
            self._open = deque((number, since or now) for number, since in self._open)
        while self._open and self._open[0][1] and now - self._open[0][1] >= self._settle_seconds:
            number = self._open.popleft()[0]
            self.delivered += max(0, number - self.position)
            self.position = max(self.position, number)
            self._pauses.worked()

    def _skip(self) -> None:
        """What went from the spool before it was delivered is lost to this repository."""
        first = self._spool.first
        if self.position < first:
            self.lost += first - self.position
            self.position = first
        self._next = max(self._next, self.position)

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "code", None)
        text = (
            str(error) if not isinstance(error, OSError) or not error.errno else f"{errno.errorcode.get(error.errno, '')} {error.strerror}"
        )
        said = f"{text or type(error).__name__}"
        new = self.state is State.CONNECTED or said != self.problem
        self.problem = said
        self._change(State.PAUSED)
        if new:
            more = {"why": str(code)} if isinstance(code, Code) else {}
            self._tell(Code.AUDIT_UNREACHABLE, {"at": self.repository.connect.text, **more, "detail": said})

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _IDLE_SECONDS))
            self._skip()

    def _change(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.since = time.time()


def _unacknowledged(sock: socket.socket) -> int:
    """Return how many bytes the other side's TCP has not acknowledged (SIOCOUTQ, tcp(7))."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
