"""The records of a held association, in order: an instance that carries the text of its record may be answered before the log has it.

The log takes them one at a time, the same one again until it is in. Whatever else the association records waits behind them, and no
instance carries a record while something else is under way: so what only instances carry always goes on where the log ends, and who finds
it after a crash can put it there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow, Outcome
from wardgate.custody.wire import Status

if TYPE_CHECKING:
    from wardgate.dimse.commitment import Reference
    from wardgate.relay.ledger import Ledger
    from wardgate.relay.loop import Loop
    from wardgate.relay.stores import Store

ANSWERED: Final = 8  # instances that were answered and are not in the log, at most
RETRY_SECONDS: Final = 1.0

Event = Callable[..., None]


class Lag:
    """What a worker's rows have in common: how much is not in the log, and whether it takes nothing."""

    def __init__(self, loop: Loop, event: Event) -> None:
        self.loop = loop
        self.event = event
        self.unlogged = 0  # instances that are durable and not in the log
        self._failing: set[Row] = set()

    @property
    def failing(self) -> bool:
        """Does the log not take what instances carry? Then none is answered ahead of it."""
        return bool(self._failing)

    def failed(self, row: Row, status: Status) -> None:
        """The log has not taken a record of that row."""
        if not self._failing:
            self.event(Code.HOLD_LOG_BEHIND, status=status.name, unlogged=self.unlogged)
        self._failing.add(row)

    def worked(self, row: Row) -> None:
        """It has."""
        if row in self._failing:
            self._failing.discard(row)
            if not self._failing:
                self.event(Code.HOLD_LOG_UP)


class Carried:
    """A record that an instance carries. `text` is what the log is to have; `answer`, `logged`: see `Row.durable`."""

    __slots__ = ("answer", "logged", "ready", "seq", "text")

    def __init__(self, seq: int, text: bytes) -> None:
        self.seq = seq
        self.text = text
        self.ready = False
        self.answer: Callable[[], None] | None = None
        self.logged: Callable[[bool], None] | None = None


class Row:
    """Stands before the ledger of a held association, and takes its place. `idle` is called when nothing more will be logged soon."""

    def __init__(self, ledger: Ledger, lag: Lag, idle: Callable[[], None]) -> None:
        self._ledger = ledger
        self._lag = lag
        self._idle = idle
        self._carried: deque[Carried] = deque()
        self._behind: deque[tuple[Callable[[], None], Callable[[], None] | None]] = deque()  # what is to be done, and if it cannot
        self._others = 0  # records of other kinds that the log was given and has not answered
        self._asked = False
        self._failing = False

    @property
    def stores(self) -> int:
        """How many C-STOREs there were."""
        return self._ledger.stores

    @property
    def association(self) -> bytes:
        """The 16 bytes that all records carry."""
        return self._ledger.association

    @property
    def waits(self) -> bool:
        """Will what instances carry be in the log soon?"""
        return bool(self._carried) and not self._failing

    def room(self, under_way: int) -> bool:
        """See `Ledger.room`."""
        return self._ledger.room(under_way)

    # --- what instances carry

    def free(self) -> bool:
        """May the next instance carry its record, to be answered ahead of the log?"""
        return not self._others and not self._behind and len(self._carried) <= ANSWERED and not self._lag.failing

    def carry(self, store: Store, status: int, outcome: Outcome, flow: Flow) -> Carried:
        """Take the next place; call `durable` or `replace` for it."""
        seq = self._ledger.promise()
        carried = Carried(seq, self._ledger.text(seq, store, status, outcome, flow))
        self._carried.append(carried)
        return carried

    def durable(self, carried: Carried, answer: Callable[[], None], logged: Callable[[bool], None]) -> None:
        """Its instance is on the disk with it: `answer` when the sender may hear so, `logged(in the log)` when that is decided."""
        carried.answer, carried.logged, carried.ready = answer, logged, True
        self._lag.unlogged += 1
        self._go()

    def replace(self, carried: Carried, store: Store, status: int, outcome: Outcome, flow: Flow) -> None:
        """Its instance could not be written: this is to stand in its place, and nobody waits for it."""
        carried.text, carried.ready = self._ledger.text(carried.seq, store, status, outcome, flow), True
        self._go()

    # --- everything else

    def store(
        self, store: Store, status: int | None, outcome: Outcome, flow: Flow, done: Callable[[bool], None], alone: bool = False
    ) -> None:
        """See `Ledger.store`."""
        self._after(lambda: self._ledger.store(store, status, outcome, flow, self._counted(done), alone), lambda: done(False))

    def told(self, store: Store, status: int, code: Code, flow: Flow) -> None:
        """See `Ledger.told`."""
        self._ledger.told(store, status, code, flow)

    def commitment(self, transaction: str, reference: Reference, flow: Flow, done: Callable[[bool], None]) -> None:
        """See `Ledger.commitment`."""
        self._after(lambda: self._ledger.commitment(transaction, reference, flow, self._counted(done)), lambda: done(False))

    def end(self, ended: str) -> None:
        """Write the close entry, when everything else is in the log."""
        self._after(lambda: self._ledger.end(ended), None)

    def _after(self, work: Callable[[], None], refuse: Callable[[], None] | None) -> None:
        if not self._carried and not self._behind:
            work()
        elif self._failing and refuse is not None:
            self._lag.loop.soon(refuse)
        else:
            self._behind.append((work, refuse))

    def _counted(self, done: Callable[[bool], None]) -> Callable[[bool], None]:
        self._others += 1

        def counted(durable: bool) -> None:
            self._others -= 1
            done(durable)

        return counted

    # --- the log

    def _go(self) -> None:
        for place, carried in enumerate(list(self._carried)):
            if not carried.ready or (place >= ANSWERED and not self._failing):
                break
            if carried.answer is not None:
                answer, carried.answer = carried.answer, None
                answer()
        if self._carried:
            self._ask()
            return
        while self._behind and not self._carried:
            self._behind.popleft()[0]()

    def _ask(self) -> None:
        carried = self._carried[0]
        if carried.ready and not self._asked:
            self._asked = True
            self._ledger.submit(carried.seq, carried.text, self._heard, alone=True)

    def _heard(self, status: Status) -> None:
        if status not in (Status.OK, Status.REFUSED):  # refused: the association was closed meanwhile, by a writer that missed its worker
            self._lag.failed(self, status)
            if not self._failing:
                self._failing = True
                self._refuse()
                self._go()  # asks nothing: it is asked again later
                self._idle()
            self._lag.loop.at(RETRY_SECONDS, self._again)
            return
        self._asked = self._failing = False
        self._lag.worked(self)
        carried = self._carried.popleft()
        if carried.logged is not None:
            self._lag.unlogged -= 1
            carried.logged(status is Status.OK)
        self._go()
        if not self._carried:
            self._idle()

    def _again(self) -> None:
        self._asked = False
        self._ask()

    def _refuse(self) -> None:
        """What waits behind a record that the log does not take cannot be recorded either, but the end waits."""
        behind, self._behind = self._behind, deque()
        for work, refuse in behind:
            if refuse is None:
                self._behind.append((work, refuse))
            else:
                refuse()
