"""An association to the modality on which the box reports storage commitment, as its SCP (PS3.4 J.3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.dimse.command import CommandField, parse
from wardgate.dimse.nservice import data_set, event_request
from wardgate.hold.calling import Calling
from wardgate.hold.commitment.messages import CONTEXT, as_scp, proposal
from wardgate.hold.commitment.recording import Recording
from wardgate.hold.fragments import COMMAND, fragments
from wardgate.policy.model import Direction

if TYPE_CHECKING:
    from wardgate.hold.commitment.book import Request
    from wardgate.hold.commitment.teller import Teller
    from wardgate.hold.memory import Pair
    from wardgate.policy.model import Link
    from wardgate.upperlayer.items import PresentationContextRQ
    from wardgate.upperlayer.pdu import AssociateAC
    from wardgate.upperlayer.userinfo import UserInformation
    from wardgate.upperlayer.walker import Sink

_SUCCESS: Final = 0x0000


class Telling(Calling):
    """One association: what is due for one pair of AE titles, one report after the other."""

    def __init__(self, teller: Teller, link: Link, pair: Pair) -> None:
        super().__init__(teller.gate, link, link.modality, pair.called, pair.calling, Direction.TO_MODALITY)
        self._teller = teller
        self.pair = pair
        self._now: Request | None = None
        self._messages = 0

    def contexts(self) -> tuple[PresentationContextRQ, ...]:
        """Propose storage commitment."""
        return proposal()

    def user(self) -> UserInformation:
        """The requestor is the SCP."""
        return as_scp()

    def established(self, ac: AssociateAC) -> None:
        """Begin."""
        if CONTEXT not in self._accepted:
            self.gate.event(Code.COMMITMENT_NOT_HEARD, self.titles, link=self.link.name, detail="the context was not accepted")
            self._failed = True
            self._release()
        else:
            self._next()

    @property
    def busy(self) -> bool:
        """Is a report under way?"""
        return self._now is not None

    def _next(self) -> None:
        if self._ended:
            return
        request = self._now = self._teller.next_report(self.pair)
        if request is None:
            self._release()
            return
        report = request.report()

        def recorded(durable: bool) -> None:
            if not durable:
                self._fail(Code.COMMITMENT_NOT_RECORDED)
            elif not self._ended and self.leg is not None:
                self._messages = self._messages % 0xFFFF + 1
                body = data_set(report, self._accepted[CONTEXT][1])
                command = fragments(CONTEXT, COMMAND, event_request(self._messages, report), self._fragment)
                self.leg.send(command + fragments(CONTEXT, 0, body, self._fragment))

        Recording(self.gate, self._ledger, report.transaction, report.references, SentBy.ACCEPTOR, recorded).begin()

    def command(self, context: int, command: bytearray) -> Sink | None:
        """N-EVENT-REPORT-RSP."""
        parsed = parse(command)
        assert self.leg is not None and self.leg.walker is not None
        self.leg.walker.expects_data = parsed.has_data_set
        request = self._now
        answer = parsed.command_field == CommandField.N_EVENT_REPORT_RSP and parsed.message_id_responded == self._messages
        if answer and request is not None:
            self._now = None
            if parsed.status == _SUCCESS:
                self._teller.told(request)
                self._next()
            else:
                self.gate.event(Code.COMMITMENT_NOT_HEARD, self.titles, link=self.link.name, status=f"{parsed.status:04X}")
                self._failed = True
                self._release()
        return None

    def cut(self) -> None:
        """It is told another time."""
        self._now = None

    def finished(self) -> None:
        """Tell the teller."""
        self._teller.ended(self, self._failed)
