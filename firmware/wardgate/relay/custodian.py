"""The worker's end of the custody writer, on the loop: records in, answers out, a deadline for each.

When the writer goes (killed, handed over), it is connected again and everything unanswered is sent again; the writer knows what it
has by association and sequence number. What gets no answer within `record_seconds` counts as not durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardgate.custody.client import Backlog, CustodyClient, WriterGone
from wardgate.custody.wire import Op, Status
from wardgate.relay.loop import IN, OUT, Loop

Answer = Callable[[Status, int], None]

RETRY_SECONDS: Final = 0.1
UNHURRIED_ITEMS: Final = 64


class Custodian:
    """Hands items to the writer and calls back, on the loop and never from within `submit`."""

    def __init__(self, loop: Loop, client: CustodyClient, record_seconds: float, defect: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._client = client
        self._record_seconds = record_seconds
        self._defect = defect
        self._waiting: dict[int, tuple[float, Answer]] = {}  # oldest first
        self._late: dict[int, Answer] = {}
        self._fd = -1
        self._events = 0
        self._retry_at = 0.0
        self.writers_lost = 0
        self._flushing = False
        self._unhurried = 0
        loop.each_tick(self._tick)

    @property
    def connected(self) -> bool:
        """Is there a writer?"""
        return self._fd >= 0

    @property
    def unanswered(self) -> int:
        """Items that wait for the writer."""
        return len(self._waiting)

    def submit(
        self, op: Op, association: bytes, seq: int, payload: bytes, answer: Answer, late: Answer | None = None, urgent: bool = True,
        alone: bool = False,
    ) -> None:  # fmt: skip
        """Queue one item; it leaves when nothing else is to be done. `answer` gets `IO_ERROR` when none comes in time, and `late`
        what came after that: the item may have become durable all the same. What is not `urgent` leaves with what is, or soon; what
        comes `alone` leaves with this turn, when that is all the turn has brought."""
        try:
            request = self._client.add(op, association, seq, payload)
        except Backlog:
            self._loop.soon(lambda: answer(Status.IO_ERROR, 0))
            return
        self._waiting[request] = (self._loop.now + self._record_seconds, answer)
        if late is not None:
            self._late[request] = late
        if not urgent:
            self._unhurried += 1
            if self._unhurried < UNHURRIED_ITEMS:
                return
        if not self._flushing:
            self._flushing = True
            if alone and self._loop.ready <= 1:
                self._loop.soon(self._turn)
                return
            self._loop.when_idle(self._turn)  # one packet, one wake-up of the writer and one sync for as many records as can be had

    def connect(self) -> bool:
        """Connect to the writer; tried again by itself when it fails."""
        try:
            self._client.connect()
        except WriterGone:
            self._retry_at = self._loop.now + RETRY_SECONDS
            return False
        self._fd = self._client.fileno()
        self._events = IN
        self._loop.register(self._fd, self._ready, IN)
        self._want()  # more may wait for an answer than the socket takes at once
        return True

    def _ready(self, events: int) -> None:
        try:
            if events & OUT:
                self._client.flush()
                self._want()
            if events & ~OUT:
                for request, status, index in self._client.receive():
                    waiting = self._waiting.pop(request, None)
                    late = self._late.pop(request, None) if self._late else None
                    answer = waiting[1] if waiting is not None else late
                    if answer is not None:
                        self._call(answer, status, index)
        except WriterGone:
            self._lost()

    def _call(self, answer: Answer, status: Status, index: int) -> None:
        try:
            answer(status, index)
        except Exception as error:
            self._defect(error)

    def _turn(self) -> None:
        self._flushing = False
        self._unhurried = 0
        if self._fd < 0:
            return
        try:
            self._client.flush()
        except WriterGone:
            self._lost()
            return
        if self._client.wants_write or self._events & OUT:
            self._want()

    def _want(self) -> None:
        events = IN | OUT if self._client.wants_write else IN
        if events != self._events:
            self._events = events
            self._loop.modify(self._fd, events)

    def _lost(self) -> None:
        self.writers_lost += 1
        self._loop.forget(self._fd)
        self._fd = -1
        self._client.close()
        self._retry_at = self._loop.now

    def _tick(self) -> None:
        now = self._loop.now
        if self._unhurried:
            self._turn()
        if self._fd < 0 and now >= self._retry_at:
            self.connect()
        late = []
        for request, (deadline, _answer) in self._waiting.items():
            if deadline > now:
                break
            late.append(request)
        for request in late:
            self._call(self._waiting.pop(request)[1], Status.IO_ERROR, 0)
