"""An association to the destination on which the box asks for storage commitment, and stays a little for the report (PS3.4 J.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.dimse.build import response
from wardgate.dimse.command import Command, CommandField, parse
from wardgate.dimse.commitment import MAX_BYTES, CommitmentError, Reference, Report, read_report
from wardgate.dimse.nservice import action_request, data_set
from wardgate.hold.calling import Calling
from wardgate.hold.commitment.messages import CONTEXT, proposal
from wardgate.hold.fragments import COMMAND, fragments
from wardgate.hold.memory import answers
from wardgate.policy.model import Direction
from wardgate.relay.phase import Phase

if TYPE_CHECKING:
    from wardgate.hold.commitment.desk import Desk
    from wardgate.hold.memory import Pair
    from wardgate.policy.model import Link, Party
    from wardgate.upperlayer.items import PresentationContextRQ
    from wardgate.upperlayer.pdu import AssociateAC
    from wardgate.upperlayer.walker import Sink

STAY_SECONDS: Final = 5.0  # after the last answer, for a report on this association
_SUCCESS: Final = 0x0000
_FAILURE: Final = 0x0110


class Asking(Calling):
    """One association: one transaction after the other, as long as something waits for the same pair of AE titles."""

    def __init__(self, desk: Desk, link: Link, peer: Party, pair: Pair) -> None:
        super().__init__(desk.gate, link, peer, pair.calling, pair.called, Direction.TO_HOSPITAL)
        self._desk = desk
        self.pair = pair
        self._asked: dict[int, str] = {}  # message ID -> transaction
        self._messages = 0
        self._report: Command | None = None  # whose data set comes
        self._data = bytearray()
        self._syntax = ""
        self._reports = 0  # taken and not answered yet
        self._coming = False  # a transaction is on its way into the journal
        self._leave_at = 0.0
        self.refused = False
        self.worked = False

    def contexts(self) -> tuple[PresentationContextRQ, ...]:
        """Propose storage commitment."""
        return proposal()

    def established(self, ac: AssociateAC) -> None:
        """Remember whether the destination does it."""
        assert self._request is not None
        self._desk.teach(self.pair, answers(self._request, ac))
        if CONTEXT not in self._accepted:
            self.refused = True
            self._release()
            return
        self._syntax = self._accepted[CONTEXT][1]
        self.next()

    @property
    def busy(self) -> bool:
        """Is an N-ACTION under way?"""
        return bool(self._asked)

    def next(self) -> None:
        """Ask for what waits, else stay a little."""
        if self._asked or self._coming or self.phase is not Phase.ESTABLISHED:
            return
        self._coming = self._desk.next_transaction(self.pair, self._ask)
        if not self._coming:
            self._leave_at = self.gate.loop.now + STAY_SECONDS

    def tick(self, now: float) -> None:
        """Release when nothing more comes."""
        if self._leave_at and now >= self._leave_at and not (self._asked or self._coming or self._reports):
            self._leave_at = 0.0
            self._release()
        super().tick(now)

    def _ask(self, uid: str, references: tuple[Reference, ...]) -> None:
        """The transaction is in the journal: now it may leave."""
        self._coming = False
        if self._ended or self.leg is None:
            self._desk.not_asked(uid)
            return
        self._messages = self._messages % 0xFFFF + 1
        self._asked[self._messages] = uid
        body = fragments(CONTEXT, 0, data_set(Report(uid, references), self._syntax, action=True), self._fragment)
        self.leg.send(fragments(CONTEXT, COMMAND, action_request(self._messages), self._fragment) + body)
        self.gate.event(Code.COMMITMENT_ASKED, self.titles, link=self.link.name, transaction=uid, instances=len(references))

    def command(self, context: int, command: bytearray) -> Sink | None:
        """N-ACTION-RSP, or the report."""
        parsed = parse(command)
        assert self.leg is not None and self.leg.walker is not None
        self.leg.walker.expects_data = parsed.has_data_set
        if parsed.command_field == CommandField.N_ACTION_RSP:
            uid = self._asked.pop(parsed.message_id_responded, "")
            if uid and parsed.status != _SUCCESS:
                self._desk.not_taken(self.pair, uid, parsed.status)
                self._failed = True
                self._release()
            elif uid:
                self.worked = True
                self.next()
        elif parsed.command_field == CommandField.N_EVENT_REPORT_RQ and parsed.has_data_set:
            self._report = parsed
            self._data = bytearray()
            return self._take
        return None

    def _take(self, data: memoryview) -> None:
        if len(self._data) <= MAX_BYTES:
            self._data += data[: MAX_BYTES + 1 - len(self._data)]

    def data_set(self, context: int, length: int) -> None:
        """The report is whole."""
        command, self._report = self._report, None
        if command is None:
            return
        data, self._data = self._data, bytearray()
        request = command

        def answered(good: bool) -> None:
            self._reports -= 1
            if not self._ended and self.leg is not None:
                self.leg.send(fragments(CONTEXT, COMMAND, response(request, _SUCCESS if good else _FAILURE), self._fragment))
            self.next()

        self._reports += 1
        try:
            report = read_report(data, self._syntax)
        except CommitmentError as error:
            self.gate.event(error.code, self.titles, link=self.link.name, detail=error)
            answered(False)
            return
        self._desk.reported(self.pair, report, "", answered)

    def finished(self) -> None:
        """Tell the desk."""
        self._desk.asking_ended(self, self._failed)
