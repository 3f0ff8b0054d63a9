"""Writes the custody records of one report: one for each instance, as far as the log gives room, then the next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from wardgate.custody.record import Flow, Scope
from wardgate.custody.record import Leg as LegScope
from wardgate.custody.wire import Status
from wardgate.policy.model import Direction
from wardgate.relay.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wardgate.dimse.commitment import Reference
    from wardgate.hold.memory import Pair
    from wardgate.hold.row import Row
    from wardgate.relay.gate import Gate

TRIES: Final = 30  # a second each, for room in the log
HERE: Final = "hold"  # in records: the box itself


class Recording:
    """One report in the ledger of an association; `done(durable)` once."""

    def __init__(
        self, gate: Gate, ledger: Ledger | Row, transaction: str, references: Sequence[Reference], flow: Flow, done: Callable[[bool], None]
    ) -> None:
        self._gate, self._ledger, self._transaction, self._flow, self._done = gate, ledger, transaction, flow, done
        self._waiting = list(reversed(references))
        self._under_way = 0
        self._good = True
        self._tries = 0
        self._over = False

    def begin(self) -> None:
        """Write what there is room for; answers go on with it."""
        while self._waiting and self._ledger.room(0):
            self._under_way += 1
            self._ledger.commitment(self._transaction, self._waiting.pop(), self._flow, self._recorded)
        if self._waiting and not self._under_way:
            self._tries += 1
            if self._tries > TRIES:
                self._good = False
                self._waiting.clear()
            else:
                self._gate.loop.at(1.0, self.begin)
        self._look()

    def _recorded(self, durable: bool) -> None:
        self._under_way -= 1
        if not durable:
            self._good = False
            self._waiting.clear()
        if self._waiting:
            self.begin()
        else:
            self._look()

    def _look(self) -> None:
        if not self._waiting and not self._under_way and not self._over:
            self._over = True
            self._done(self._good)


def record(gate: Gate, pair: Pair, transaction: str, references: Sequence[Reference], done: Callable[[bool], None]) -> None:
    """Write what a destination reported, in an entry of its own: its association may have ended long ago, in another process."""
    scope = Scope(
        gate.config.box.name, pair.link, Direction.TO_MODALITY.value, os.urandom(16), LegScope(pair.called, f"reported by {pair.peer}"),
        LegScope(pair.calling, HERE),
    )  # fmt: skip
    ledger = Ledger(gate, scope)

    def opened(status: Status) -> None:
        if status is not Status.OK:
            done(False)
            return

        def written(good: bool) -> None:
            ledger.end("reported")
            done(good)

        Recording(gate, ledger, transaction, references, Flow.ACCEPTOR, written).begin()

    if not references:
        done(True)
        return
    ledger.begin(opened)
