"""What one association tells the custody log: open entry, a record a C-STORE, close entry; and the log space it holds.

Space is held ahead: before the A-ASSOCIATE-RQ leaves, and again before it runs low, so that every request that leaves the box can
get its record. Until more is granted, no further C-STORE request may leave.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import MAX_RECORD, Flow, Outcome, Scope
from wardgate.custody.wire import Op, Status

if TYPE_CHECKING:
    from wardgate.dimse.commitment import Reference
    from wardgate.relay.gate import Gate
    from wardgate.relay.stores import Store

RESERVE_RECORDS: Final = 64
RETRY_SECONDS: Final = 1.0
ASIDE_RECORDS: Final = 64  # of commitment reports, which have thousands: they have space of their own and take none of the stores'
_ASIDE_BYTES: Final = 192  # beside the first of them: a frame of the writer's, and longer UIDs
_U32: Final = struct.Struct(">I")


class Ledger:
    """The custody side of one association. `begin` first, `end` last."""

    __slots__ = ("_aside", "_ask_again", "_closed", "_gate", "_left", "_scope", "_seq", "_then", "_topping", "begun", "failed", "stores")

    def __init__(self, gate: Gate, scope: Scope) -> None:
        self._gate = gate
        self._scope = scope
        self._seq = 0
        self._left = 0  # records that the space held would still take
        self._aside = 0  # and those of commitment reports
        self._topping = False
        self._then: tuple[Callable[[], None], ...] = ()
        self.begun = False
        self._closed = False  # the close entry was given to the writer
        self._ask_again = 0.0
        self.stores = 0
        self.failed = 0

    @property
    def association(self) -> bytes:
        """The 16 bytes that all records of this association carry."""
        return self._scope.association

    def begin(self, answer: Callable[[Status], None]) -> None:
        """Make the open entry durable and hold space; `answer` gets how it went."""
        self.begun = True
        self._left = RESERVE_RECORDS

        def opened(status: Status, _index: int) -> None:
            if status is not Status.OK:
                self.begun = False
            answer(status)

        def late(status: Status, _index: int) -> None:
            if status is Status.OK and not self._closed:  # nothing left the box under this entry: close it again
                self.begun = True
                self.end(str(Code.CUSTODY_REFUSED))

        record = self._scope.open(*self._gate.clock.now())
        payload = _U32.pack(RESERVE_RECORDS * MAX_RECORD) + record
        self._gate.custodian.submit(Op.OPEN, self._scope.association, 0, payload, opened, late)

    def room(self, under_way: int) -> bool:
        """May one more C-STORE request leave the box, with `under_way` others unanswered?"""
        free = self._left - under_way
        if free < RESERVE_RECORDS // 2 and not self._topping and self._gate.loop.now >= self._ask_again:
            self._topping = True
            self._submit(Op.RESERVE, _U32.pack(RESERVE_RECORDS * MAX_RECORD), self._topped)
        return free > 2  # this one, and the close entry

    def wait(self, then: Callable[[], None]) -> bool:
        """Call `then` on the loop when space that was asked for is granted or refused; false when none is asked for."""
        if self._topping:
            self._then += (then,)
        return self._topping

    def store(
        self, store: Store, status: int | None, outcome: Outcome, flow: Flow, done: Callable[[bool], None], alone: bool = False
    ) -> None:
        """Write the record of one C-STORE; `done(durable)`. `alone`: see `Custodian.submit`."""
        seq = self.promise()

        def answered(status: Status) -> None:
            if status is Status.IO_ERROR:  # no answer in time, or a write that failed: it may be in the log all the same
                store.unsure = seq
            done(status is Status.OK)

        self.submit(seq, self.text(seq, store, status, outcome, flow), answered, alone)

    def told(self, store: Store, status: int, code: Code, flow: Flow) -> None:
        """The sender of an instance heard `status`, as its record was not durable: have the log say so, where it may have that record.

        It goes behind the record, outside of the association's numbers and space, and nobody waits for it (decision 092).
        """
        if store.unsure:
            record = self._scope.answer(*self._gate.clock.now(), store.unsure, store.sop_class, store.instance, status, str(code), flow)
            self._gate.custodian.submit(Op.EVENT, os.urandom(16), 0, record, _ignore)

    def promise(self) -> int:
        """Return the sequence number of the next record of a C-STORE, which is to be submitted before any other."""
        self.stores += 1
        self._left -= 1
        self._seq += 1
        return self._seq

    def text(self, seq: int, store: Store, status: int | None, outcome: Outcome, flow: Flow) -> bytes:
        """Return the record of one C-STORE."""
        time_ns, quality = self._gate.clock.now()
        return self._scope.store(
            time_ns, quality, seq, store.sop_class, store.instance, store.transfer_syntax,
            store.length, store.digests(), status, outcome, flow,
        )  # fmt: skip

    def submit(self, seq: int, record: bytes, done: Callable[[Status], None], alone: bool = False) -> None:
        """Hand over the record of one C-STORE, the same one again where it could not be written."""

        def answered(status: Status, _index: int) -> None:
            if status is not Status.OK:
                self.failed += 1
            done(status)

        urgent = self._gate.hold_responses
        self._gate.custodian.submit(Op.STORE, self._scope.association, seq, record, answered, urgent=urgent, alone=alone)

    def commitment(self, transaction: str, reference: Reference, flow: Flow, done: Callable[[bool], None]) -> None:
        """Write the record of what a storage commitment report says of one instance; `done(durable)`."""
        self._seq += 1
        time_ns, quality = self._gate.clock.now()
        record = self._scope.commitment(
            time_ns, quality, self._seq, transaction, reference.sop_class, reference.sop_instance, reference.reason, flow
        )
        if not self._aside:
            self._aside = ASIDE_RECORDS
            self._submit(Op.RESERVE, _U32.pack(ASIDE_RECORDS * (len(record) + _ASIDE_BYTES)), self._set_aside)
        self._aside -= 1

        def answered(status: Status, _index: int) -> None:
            done(status is Status.OK)

        self._gate.custodian.submit(Op.STORE, self._scope.association, self._seq, record, answered)

    def end(self, ended: str) -> None:
        """Write the close entry. Nobody waits for space any more."""
        self._then = ()
        if self.begun:
            self.begun, self._closed = False, True
            self._submit(Op.CLOSE, self._scope.close(*self._gate.clock.now(), self.stores, ended), _ignore)

    def _topped(self, status: Status, _index: int) -> None:
        self._topping = False
        if status is Status.OK:
            self._left += RESERVE_RECORDS
        else:
            self._ask_again = self._gate.loop.now + RETRY_SECONDS
        then, self._then = self._then, ()
        for call in then:
            self._gate.loop.soon(call)

    def _set_aside(self, status: Status, _index: int) -> None:
        if status is not Status.OK:  # they take what was held for stores
            self._left = max(0, self._left - ASIDE_RECORDS)

    def _submit(self, op: Op, payload: bytes, answer: Callable[[Status, int], None]) -> None:
        if op is Op.CLOSE:
            self._seq += 1
        # Nothing waits for a close entry: it goes with the next item, at the latest at the next tick.
        self._gate.custodian.submit(op, self._scope.association, self._seq, payload, answer, urgent=op is not Op.CLOSE)


def _ignore(_status: Status, _index: int) -> None:
    """An entry that nothing waits for."""
