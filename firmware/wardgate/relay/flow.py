"""One direction of an association: what the walker sees decides what passes, what is hashed and what waits for its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.dimse.command import Command, CommandField, parse
from wardgate.dimse.commitment import SOP_CLASS
from wardgate.edit.response import replace_status
from wardgate.relay.hasher import Digest
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause
from wardgate.relay.nobody import NOBODY
from wardgate.relay.stores import MAX_UNDER_WAY, Store, Stores, TooManyUnderWay
from wardgate.upperlayer.walker import Segment, Sink, Walker

if TYPE_CHECKING:
    from wardgate.edit.reframe import Reframer
    from wardgate.relay.association import Association
    from wardgate.relay.reports import PassingReport

OUT_OF_RESOURCES: Final = 0xA700  # PS3.4 B.2.3: refused, out of resources
MAX_DEFERRED: Final = 1 << 20
_STORE_RQ: Final = int(CommandField.C_STORE_RQ)
_STORE_RSP: Final = int(CommandField.C_STORE_RSP)
_REPORT_RQ: Final = int(CommandField.N_EVENT_REPORT_RQ)
RESPONSE: Final = 0x8000  # PS3.7 E.1: this bit of the Command Field
PENDING: Final = 0xFF00  # PS3.7 C.1.1: FF00 and FF01, sub-operations or matches are continuing
_REPORT: Final = (_REPORT_RQ, int(CommandField.N_EVENT_REPORT_RSP))
PROCESSING_FAILURE: Final = 0x0110  # PS3.7 C.5.14: who reported does it again


class Flow:
    """Bytes from `source` to `sink`. Follows the protocol of `upperlayer.walker.Follower`."""

    __slots__ = (
        "_buffers",
        "_deferred",
        "_pending",
        "_reporting",
        "_waits",
        "_whole",
        "association",
        "asynchronous",
        "back",
        "reframer",
        "reports",
        "sink",
        "source",
        "stores",
        "walker",
    )

    def __init__(self, association: Association, source: Leg, max_pdu: int, max_associate: int) -> None:
        self.association = association
        self._buffers = association.buffers
        self.source = source
        self.sink: Leg | None = None
        self.back: Flow | None = None  # the other direction
        self.stores = Stores()
        self.reframer: Reframer | None = None  # where data sets are edited; without it they pass where they lie
        self.reports: list[PassingReport] = []  # without an answer yet, in order: a message ID that comes twice is answered twice
        self._reporting: PassingReport | None = None  # whose data set is passing
        self.walker = Walker(self, max_pdu, max_associate)
        source.walker = self.walker
        self._deferred = bytearray()
        self._waits = 0
        self.asynchronous = True  # messages may follow that wait for no answer, until the called side has said that they may not
        self._pending = True  # as in `asynchronous`, or what passes now is a response with others to come
        self._whole = True  # what went to `sink` ended with a whole PDU

    @property
    def between_pdus(self) -> bool:
        """Did all that went to `sink` end with a whole PDU?"""
        return self._whole

    def let_go(self) -> bool:
        """Hold nothing of an association that is over; false while answers of the custody writer are to come."""
        if self._waits:
            return False
        self.walker.follow(NOBODY)
        self.sink = self.back = None
        return True

    def passes(self, data: memoryview) -> None:
        """P-DATA-TF bytes that may go on: at once, or when the records of the responses in them are durable."""
        if self._waits or self._deferred:
            self._deferred += data
            if len(self._deferred) > MAX_DEFERRED:  # the source is paused after this read: one read at most
                self.association.overflow(self)
        elif self.sink is not None:
            if self.reframer is not None:
                self._edited(self.reframer, data)
                return
            self._whole = self.walker.between_pdus
            if self._buffers.slices:
                self._buffers.before_send(len(data))
            self.sink.send(data)

    def _edited(self, reframer: Reframer, data: memoryview) -> None:
        """Send what the edit makes of `data`. Raises `DatasetError`; what was in front of the mistake is sent all the same."""
        try:
            reframer.feed(data)
        finally:
            pieces = reframer.take()
            self._whole = reframer.between_pdus
            if pieces and self.sink is not None:
                self.sink.send(b"".join(pieces) if len(pieces) > 1 else memoryview(pieces[0]))
            for passing in reframer.edited:
                self.association.status_edited(self, passing.instance)
            reframer.edited.clear()

    def control(self, pdu: bytes) -> None:
        """A PDU that is not P-DATA-TF."""
        self.association.control(self, pdu)

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set, not one byte of it passed yet. Raises `NotYet` to have it later, anything else to end the association."""
        association = self.association
        transfer_syntax = association.admit(context, self.source)
        parsed = parse(command)
        self.walker.expects_data = has_data = parsed.has_data_set
        self.stores.current = None
        field = parsed.command_field
        self._pending = pending = self.asynchronous or (field >= RESPONSE and parsed.status & 0xFF00 == PENDING)
        self.source.waits = not has_data and not pending
        if field == _STORE_RQ:
            store = Store(parsed, context, transfer_syntax, Digest(association.buffers))
            if self.reframer is not None and parsed.has_data_set:
                from wardgate.relay.status import passing_of

                store.passing = passing_of(store)
            association.store_begins(self, store)
            if self.reframer is not None and store.passing is not None:
                self.reframer.expect(store.passing)
            return store.digest.update if parsed.has_data_set else None
        if self.reframer is not None and parsed.has_data_set:
            self.reframer.expect(None)
        if field in _REPORT:
            return self._report(context, transfer_syntax, parsed, command)
        if field == _STORE_RSP and self.back is not None:
            answered = self.back.stores.answered(parsed.message_id_responded)
            if answered is not None:
                self._record(answered, parsed.status, command)
        return None

    def data_set(self, context: int, length: int) -> None:
        """The data set under way is whole."""
        self.source.waits = not self._pending
        self.stores.data_set(length)
        if self._reporting is not None:
            report, self._reporting = self._reporting, None
            report.whole(self.association)

    def _report(self, context: int, transfer_syntax: str, parsed: Command, command: bytearray) -> Sink | None:
        """Storage commitment: a report passes, or what answers one (PS3.4 J.3.3)."""
        if parsed.command_field == _REPORT_RQ:
            if parsed.sop_class != SOP_CLASS or not parsed.has_data_set:
                return None
            self.association.report_begins()
            if len(self.reports) >= MAX_UNDER_WAY:  # one more would pass without its records
                raise TooManyUnderWay(f"{len(self.reports)} storage commitment reports without an answer")
            from wardgate.relay.reports import PassingReport

            self._reporting = PassingReport(parsed.message_id, transfer_syntax, self.association.sent_by(self))
            self.reports.append(self._reporting)
            return self._reporting.take
        reports = self.back.reports if self.back is not None else []
        report = next((each for each in reports if each.message == parsed.message_id_responded), None)
        if report is not None:
            reports.remove(report)
            segments, shift = self.walker.segments, len(self._deferred) - self.walker.passed
            self._waits += 1
            self.source.pause(Pause.RECORD)

            def done(durable: bool) -> None:
                if not durable:
                    self._edit_status(PROCESSING_FAILURE, command, segments, shift)
                    self.association.report_failed()
                self._waits -= 1
                if not self._waits:
                    self._release()

            self.association.gate.loop.soon(lambda: report.ask(done))
        return None

    def long_pdu(self, length: int) -> None:
        """A P-DATA-TF longer than `sink` announced."""
        self.association.long_pdu(self, length)

    def control_send(self, pdu: bytes) -> None:
        """Send a PDU on to `sink`, behind whatever waits."""
        if self._waits or self._deferred:
            self._deferred += pdu
        elif self.reframer is not None:
            self._edited(self.reframer, memoryview(pdu))
        elif self.sink is not None:
            self.sink.send(pdu)

    def _record(self, store: Store, status: int, command: bytearray) -> None:
        """Write the record of an answered store; its response waits for it when durability is asked for."""
        walker = self.walker
        # Where the command will lie in `_deferred`: needed only when its status has to be replaced.
        segments, shift = walker.segments, len(self._deferred) - walker.passed

        def done(durable: bool) -> None:
            if not durable:
                self._replace_status(store, command, segments, shift)
            self._waits -= 1
            if not self._waits:
                self._release()

        if self.association.store_answered(self, store, status, done):
            self._waits += 1
            self.source.pause(Pause.RECORD)

    def _replace_status(self, store: Store, command: bytearray, segments: list[Segment], shift: int) -> None:
        """Edit `response`: the peer's status must not reach the sender without a record; it gets A700 (PS3.4 B.2.3)."""
        self._edit_status(OUT_OF_RESOURCES, command, segments, shift)
        self.association.record_failed(self, store)

    def _edit_status(self, status: int, command: bytearray, segments: list[Segment], shift: int) -> None:
        edited = replace_status(command, status)
        for start, end, where in segments:
            self._deferred[where + shift : where + shift + end - start] = edited[start:end]

    def _release(self) -> None:
        data, self._deferred = self._deferred, bytearray()
        if self.sink is not None and data:
            if self.reframer is not None:
                try:
                    self._edited(self.reframer, memoryview(data))
                except Exception as error:  # nobody above us would end the association for it
                    self.association.broken(self.source, error)
                    return
            else:
                self._whole = self.walker.between_pdus
                self.sink.send(memoryview(data))
        self.source.resume(Pause.RECORD)
