"""The sender's socket: where emitters give their events, and others ask. An event is answered when it is on the disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from wardgate.audit.event import MAX_PACKET, AuditEvent, decode, event_in
from wardgate.custody.connection import is_allowed, peer_of
from wardgate.relay.loop import IN, Loop
from wardgate.unixsocket import listening

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection

MAX_EMITTERS: Final = 256
_AT_ONCE: Final = 64  # packets of one emitter a turn


class Intake:
    """Accepts emitters on the loop. `take(event)` writes one, `kept()` makes all written durable; both raise `OSError`.

    One write and one sync serve all events of a turn. When either fails nobody is answered: emitters that wait for an answer are closed,
    and say everything again.
    """

    def __init__(
        self,
        loop: Loop,
        path: str,
        take: Callable[[AuditEvent], None],
        kept: Callable[[], None],
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        failed: Callable[[Exception], None],
        uids: Collection[int] = (),
        stranger: Callable[[int], None] = lambda _uid: None,
    ) -> None:
        """`answer(question)` answers what is no event; `failed` is told of what could not be written, and of malformed packets.

        `uids`: accounts that may call besides this one and root; then the socket is its group's. `stranger(uid)`: another one called.
        """
        self._uids, self._stranger = uids, stranger
        self._loop, self._path, self._take, self._kept, self._answer, self._failed = loop, path, take, kept, answer, failed
        self._listener: socket.socket | None = None
        self._emitters: dict[int, socket.socket] = {}
        self._due: dict[int, int] = {}  # by emitter: the number to answer after the next sync
        self._settles = False

    @property
    def emitters(self) -> int:
        """How many are connected."""
        return len(self._emitters)

    def listen(self) -> None:
        """Begin, in place of a socket that nobody serves any more. Raises `OSError`."""
        self._listener = listening(self._path, 64, 0o660 if self._uids else 0o600)
        self._loop.register(self._listener.fileno(), self._called, IN)

    def finish(self) -> None:
        """Take what emitters have said until now, then listen no more. Raises nothing."""
        for fd in list(self._emitters):
            if fd in self._emitters:  # not closed meanwhile, because nothing could be written
                self._read(fd, 1 << 16)
        self._settle()
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for fd in list(self._emitters):
            self._close(fd)

    def _called(self, _events: int) -> None:
        assert self._listener is not None
        try:
            emitter, _ = self._listener.accept()
        except OSError:
            return
        if not is_allowed(emitter, self._uids):
            self._stranger(peer_of(emitter)[1])
            emitter.close()
            return
        if len(self._emitters) >= MAX_EMITTERS:
            emitter.close()
            return
        emitter.setblocking(False)
        fd = emitter.fileno()
        self._emitters[fd] = emitter
        self._loop.register(fd, lambda _events: self._read(fd, _AT_ONCE), IN)

    def _read(self, fd: int, most: int) -> None:
        emitter = self._emitters[fd]
        try:
            for _ in range(most):
                data = emitter.recv(MAX_PACKET + 1)
                if not data:
                    self._close(fd)
                    return
                self._said(fd, emitter, data)
                if fd not in self._emitters:
                    return
        except BlockingIOError:
            pass
        except (ValueError, OSError) as error:
            self._failed(error)
            self._close(fd)

    def _said(self, fd: int, emitter: socket.socket, data: bytes) -> None:
        found = decode(data)
        if "event" not in found:
            try:
                emitter.send(json.dumps(self._answer(found)).encode("ascii"))
            except OSError:
                self._close(fd)  # who asked did not wait: nothing was lost
            return
        number, event = event_in(found)
        try:
            self._take(event)
        except ValueError as error:  # it would come again for ever
            self._failed(error)
        except OSError as error:
            self._due[fd] = number
            self._abandon(error)
            return
        self._due[fd] = number
        if not self._settles:
            self._settles = True
            self._loop.when_idle(self._settle)

    def _settle(self) -> None:
        self._settles = False
        if not self._due:
            return
        try:
            self._kept()
        except OSError as error:
            self._abandon(error)
            return
        due, self._due = self._due, {}
        for fd, number in due.items():
            try:
                self._emitters[fd].send(json.dumps({"kept": number}).encode("ascii"))
            except (KeyError, OSError):
                self._close(fd)

    def _abandon(self, error: OSError) -> None:
        """Nothing since the last sync is kept: whoever waits for an answer shall say it again."""
        self._failed(error)
        for fd in list(self._due):
            self._close(fd)

    def _close(self, fd: int) -> None:
        emitter = self._emitters.pop(fd, None)
        self._due.pop(fd, None)
        if emitter is not None:
            self._loop.discard(emitter)
