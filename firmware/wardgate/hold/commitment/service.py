"""What a worker answers on a storage commitment context: N-ACTION of the modality, N-EVENT-REPORT of the destination.

Either is gathered up to its bound, read, put into the inbox, and answered with success when it is durable there. What it means is decided
in the forwarder. While the association of an N-ACTION is open, the forwarder may have its report said on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.dimse.build import response
from wardgate.dimse.command import Command, CommandField, parse
from wardgate.dimse.commitment import MAX_BYTES, CommitmentError, Report, read_report
from wardgate.dimse.nservice import REQUEST, SOP_INSTANCE, data_set, event_request
from wardgate.hold.commitment.inbox import Kind, Message
from wardgate.hold.commitment.recording import Recording
from wardgate.hold.memory import Pair
from wardgate.policy.model import Direction

if TYPE_CHECKING:
    from wardgate.hold.commitment.post import Post
    from wardgate.hold.intake import HeldAssociation
    from wardgate.upperlayer.walker import Sink

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110  # PS3.7 C.5.14
NO_SUCH_INSTANCE: Final = 0x0112  # PS3.7 C.5.12
NO_SUCH_ACTION: Final = 0x0123  # PS3.7 C.5.10
NO_SUCH_EVENT: Final = 0x0113  # PS3.7 C.5.9
INVALID_ARGUMENT: Final = 0x0115  # PS3.7 C.5.4
RESOURCE_LIMITATION: Final = 0x0213  # PS3.7 C.5.23
UNRECOGNIZED_OPERATION: Final = 0x0211  # PS3.7 C.5.21
MAX_OPEN: Final = 64  # requests of one association that can be reported on it


class Service:
    """The commitment side of one association that the box answers itself."""

    def __init__(self, association: HeldAssociation, post: Post, pair: Pair, direction: Direction) -> None:
        self._a = association
        self._post = post
        self._pair = pair
        self._wanted = CommandField.N_ACTION_RQ if direction is Direction.TO_HOSPITAL else CommandField.N_EVENT_REPORT_RQ
        self._command: Command | None = None  # whose data set comes
        self._data = bytearray()
        self._status = SUCCESS
        self._open: dict[str, tuple[int, Report]] = {}  # name -> context, request: may be reported here
        self._telling: dict[int, str] = {}  # message ID -> name
        self._messages = 0

    def command(self, context: int, raw: bytearray) -> Sink | None:
        """A whole command set came on a commitment context."""
        command = parse(raw)
        self._a.expects_data(command.has_data_set)
        if command.is_response:
            self._answered(command)
            return None
        if command.is_cancel:
            return None
        self._status = self._judge(command)
        if not command.has_data_set:
            self._a.say(context, response(command, self._status or INVALID_ARGUMENT))
            return None
        self._command = command
        self._data = bytearray()
        return self._take

    def _judge(self, command: Command) -> int:
        action = self._wanted is CommandField.N_ACTION_RQ
        if command.command_field != self._wanted:
            return UNRECOGNIZED_OPERATION
        if command.sop_instance != SOP_INSTANCE:
            return NO_SUCH_INSTANCE
        if action and command.type_id != REQUEST:
            return NO_SUCH_ACTION
        if not action and command.type_id not in (1, 2):  # PS3.4 J.3.3
            return NO_SUCH_EVENT
        return SUCCESS

    def _take(self, data: memoryview) -> None:
        if len(self._data) <= MAX_BYTES:
            self._data += data[: MAX_BYTES + 1 - len(self._data)]

    def data_set(self, context: int, transfer_syntax: str) -> bool:
        """A data set is whole; false when it is none of ours."""
        command, self._command = self._command, None
        if command is None:
            return False
        data, self._data = self._data, bytearray()
        status = self._status
        report: Report | None = None
        if status == SUCCESS:
            try:
                report = read_report(data, transfer_syntax)
                if not report.references or len({each.sop_instance for each in report.references}) != len(report.references):
                    raise CommitmentError("no instance, or one named twice")
            except CommitmentError as error:
                self._a.gate.event(error.code, self._a.titles, link=self._a.link.name, detail=error)
                status, report = INVALID_ARGUMENT, None
        if report is None:
            self._a.say(context, response(command, status))
        else:
            self._put(context, command, report)
        return True

    def _put(self, context: int, command: Command, report: Report) -> None:
        action = self._wanted is CommandField.N_ACTION_RQ
        message = Message(
            Kind.ACTION if action else Kind.EVENT, self._pair, report.transaction, report.references,
            self._post.number() if action else 0, self._post.address if action else "",
        )  # fmt: skip

        def done(name: str, error: Exception | None) -> None:
            if error is None:
                if action and len(self._open) < MAX_OPEN:
                    self._open[name] = (context, report)
                    self._post.follow(name, self)
                self._a.gate.event(
                    Code.COMMITMENT_TAKEN, self._a.titles, link=self._a.link.name, what=message.kind.value, transaction=report.transaction,
                    instances=len(report.references),
                )  # fmt: skip
                status = SUCCESS
            else:
                self._a.gate.event(Code.COMMITMENT_NOT_TAKEN, self._a.titles, link=self._a.link.name, detail=error)
                status = RESOURCE_LIMITATION if action else PROCESSING_FAILURE
            self._a.say(context, response(command, status))
            self._a.less_pending()

        self._a.more_pending()
        self._post.put(message, done)

    # --- the report on the same association

    def tell(self, name: str, failed: dict[str, int]) -> bool:
        """Report a request on its own association; false when that is not possible any more."""
        context, request = self._open.pop(name, (0, None))
        if request is None or not self._a.established:
            return False
        report = Report(request.transaction, tuple(each._replace(reason=failed.get(each.sop_instance, -1)) for each in request.references))

        def recorded(durable: bool) -> None:
            if durable and self._a.established:
                self._messages = self._messages % 0xFFFF + 1
                self._telling[self._messages] = name
                self._a.say(context, event_request(self._messages, report), data_set(report, self._a.transfer_syntax(context)))
            else:
                self._post.gone(name)
            self._a.less_pending()

        self._a.more_pending()
        Recording(self._a.gate, self._a.ledger, report.transaction, report.references, SentBy.REQUESTOR, recorded).begin()
        return True

    def _answered(self, command: Command) -> None:
        name = self._telling.pop(command.message_id_responded, "")
        if not name or command.command_field != CommandField.N_EVENT_REPORT_RSP:
            return
        if command.status == SUCCESS:
            self._post.put(Message(Kind.TOLD, self._pair, "", (), name=name), lambda _name, _error: None)
        else:
            self._post.gone(name)

    def end(self) -> None:
        """The association is over: what was not answered on it is told on another one."""
        for name in (*self._open, *self._telling.values()):
            self._post.gone(name)
        self._open.clear()
        self._telling.clear()
