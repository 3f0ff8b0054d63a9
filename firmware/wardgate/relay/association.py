"""One association: two legs, two upper layer machines, two flows.

The box is the acceptor of the association that comes in and the requestor of the one that goes out (PS3.8 7). Each leg has its own
state machine; what one leg *indicates* or *confirms* becomes what is *requested* or *responded* on the other. P-DATA does not go
through the machines, it passes between the flows. `opening` holds what happens before the answer, `releasing` the end
that was asked for, `failing` any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.custody.record import Outcome
from wardgate.edit.associate import answer
from wardgate.policy.model import StatusRule
from wardgate.relay.failing import aborted, broken, fail, lost
from wardgate.relay.flow import OUT_OF_RESOURCES, Flow
from wardgate.relay.gate import Gate, direction_of
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.relay.nobody import NOBODY
from wardgate.relay.opening import Opening
from wardgate.relay.phase import Phase
from wardgate.relay.refused import NoLogSpace, NotAccepted, NotOpened
from wardgate.relay.releasing import release_asked, release_confirmed
from wardgate.relay.stores import Store
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.machine import Effect, Event, UpperLayer, event_of
from wardgate.upperlayer.pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ
from wardgate.upperlayer.table import State as Sta
from wardgate.upperlayer.terms import AbortReason, AbortSource, PduType, Role
from wardgate.upperlayer.walker import NotYet

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wardgate.policy.model import Link, Party
    from wardgate.relay.hasher import Buffers
    from wardgate.relay.ledger import Ledger
    from wardgate.relay.pdus import Read

_LATE: Final = {
    Phase.SHAKING: Code.HANDSHAKE_LATE,
    Phase.REQUEST: Code.REQUEST_LATE,
    Phase.OPENING: Code.CONNECT_LATE,
    Phase.ANSWER: Code.ANSWER_LATE,
    Phase.ESTABLISHED: Code.IDLE,
    Phase.RELEASING: Code.RELEASE_LATE,
    Phase.ENDING: Code.RELEASE_LATE,
}
_SENDS: Final = (Sta.Sta6, Sta.Sta7)  # states in which the peer may still send P-DATA-TF
_DATA: Final = (Phase.ESTABLISHED, Phase.RELEASING)
# Looked up once: members of an Enum are slow to reach.
_ABORT_PROVIDER: Final = Effect.SEND_ABORT_PROVIDER
_ABORT_USER: Final = Effect.SEND_ABORT_USER
_INDICATE_RELEASE: Final = Effect.INDICATE_RELEASE
_CONFIRM_RELEASE: Final = Effect.CONFIRM_RELEASE
_GONE: Final = (State.PARTING, State.CLOSED)
_SPOKE: Final = False  # not among the silent ones


class Association:
    """From the accepted connection to the last byte. Every call is on the loop's thread."""

    __slots__ = (
        "accepted",
        "acceptor",
        "back",
        "buffers",
        "callee",
        "caller",
        "callers",
        "deadline",
        "direction",
        "established_at",
        "gate",
        "host",
        "ledger",
        "left_out",
        "link",
        "machines",
        "opening",
        "out",
        "phase",
        "request",
        "request_length",
        "requestor",
        "titles",
    )  # fmt: skip

    def __init__(self, gate: Gate, callers: list[tuple[Link, Party]], sock: socket.socket, host: str, address: str) -> None:
        self.gate = gate
        self.buffers: Buffers = gate.buffers
        self.callers = callers
        self.link, self.caller = callers[0]
        self.callee: Party | None = None
        self.direction = direction_of(self.caller)
        self.host = host
        self.phase = Phase.REQUEST
        self.deadline = 0.0
        self.acceptor = Leg(gate.loop, gate.buffers, sock, Side.ACCEPTOR, self, address)
        self.requestor: Leg | None = None
        self.out = Flow(self, self.acceptor, gate.limits.pdu_bytes, gate.limits.associate_bytes)
        self.back: Flow | None = None
        self.machines = {Side.ACCEPTOR: UpperLayer(Role.ACCEPTOR), Side.REQUESTOR: UpperLayer(Role.REQUESTOR)}
        self.opening: Opening | None = Opening(self)  # until the answer
        self.request: AssociateRQ | None = None
        self.request_length = 0  # the maximum length that it announces
        self.accepted: dict[int, tuple[str, str]] = {}
        self.left_out: frozenset[int] = frozenset()
        self.ledger: Ledger | None = None
        self.titles = ""
        self.established_at = 0.0

    # --- life

    def begin(self) -> None:
        """The connection was accepted and counted."""
        self.gate.associations.add(self)
        self.gate.embryos[self] = None
        self.gate.links[self.link.name].now += 1
        self.machines[Side.ACCEPTOR].handle(Event.TRANSPORT_INDICATION)
        assert self.opening is not None
        self.opening.caller.accepted()

    def enter(self, phase: Phase, seconds: float) -> None:
        """Be in `phase` for at most `seconds`."""
        self.phase = phase
        self.deadline = self.gate.loop.now + seconds

    def tick(self, now: float) -> None:
        """End what took too long."""
        for leg in (self.acceptor, self.requestor):
            if leg is not None and leg.channel is not None and leg.channel.talks:
                leg.tick()
        if now < self.deadline:
            return
        if self.phase in _DATA and self.moved():
            limits = self.gate.limits
            self.deadline = now + (limits.idle_seconds if self.phase is Phase.ESTABLISHED else limits.release_seconds)
            return
        if self.phase is Phase.ENDING:
            self.over("released")
            return
        if self.opening is not None:
            self.opening.late(_LATE[self.phase])
        else:
            self.fail(_LATE[self.phase], None, waited_for=self.phase.value)

    def over(self, ended: str) -> None:
        """Both legs are done: the last entry of the log, and out of all lists."""
        if self.phase is Phase.OVER:
            return
        self.phase = Phase.OVER
        self.opened()
        self._unanswered()
        for flow in (self.out, self.back):
            if flow is not None:
                flow.walker.follow(NOBODY)  # the read that ended it may go on
        if self.ledger is not None:
            self.ledger.end(ended)
        for leg in (self.acceptor, self.requestor):
            if leg is not None and leg.state not in _GONE:
                leg.close()
        gate = self.gate
        gate.associations.discard(self)
        gate.loop.soon(self._let_go)  # what is below us on the stack may still look at its leg
        gate.census.left(self.host, silent=gate.embryos.pop(self, _SPOKE) is None)
        gate.links[self.link.name].now -= 1

    def _let_go(self) -> None:
        """Cut what holds each other, so that memory is free at once and not when garbage is looked for. The last thing that is done."""
        parts = (self.acceptor, self.requestor, self.out, self.back)
        gone = [part.let_go() for part in parts if part is not None]
        if all(gone):
            self.back = None
            del self.out
        else:
            self.gate.loop.at(0.0, self._let_go)  # a leg that parts, a record without an answer: again at the next tick

    def spoke(self) -> None:
        """The caller has said who it is."""
        if self.gate.embryos.pop(self, _SPOKE) is None:
            self.gate.census.spoke(self.host)

    def opened(self) -> None:
        """The opening is over, well or not: let go of what it held. 500 associations show in memory."""
        if self.opening is not None:
            self.opening.forget()
            self.opening = None
        self.request = None

    def hand_over(self) -> None:
        """Another owner has the caller's leg from now on: this one is out of all lists, and nothing is counted down."""
        self.phase = Phase.OVER
        self._end_requestor(clean=False)
        self.opened()
        self.gate.associations.discard(self)
        self.gate.embryos.pop(self, None)

    def moved(self) -> bool:
        """Did a byte pass since this was asked the last time?"""
        moved, self.acceptor.fed = self.acceptor.fed, False
        if self.requestor is not None:
            moved, self.requestor.fed = moved or self.requestor.fed, False
        return moved

    def _unanswered(self) -> None:
        """Write the record of every C-STORE request that left the box and got no response."""
        for flow in (self.out, self.back):
            if flow is None or self.ledger is None or not flow.stores.under_way:
                continue
            for store in flow.stores.unanswered(flow.walker.received):
                outcome = Outcome.UNKNOWN if store.left_whole else Outcome.ABORTED
                self.gate.links[self.link.name].not_stored += 1
                self.ledger.store(store, None, outcome, _sent_by(flow), _nobody_waits)

    # --- what flows ask

    def admit(self, context: int, source: Leg) -> str:
        """Return the transfer syntax of an accepted context. Raises `NotAccepted`, and `PduError` after `source` asked to release."""
        known = self.accepted.get(context)
        if self.phase is Phase.RELEASING and self.machines[source.side].state not in _SENDS:
            raise PduError(0, "9.2", "P-DATA-TF after the release request", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
        if known is None or self.phase not in _DATA:
            raise NotAccepted(f"context {context}")
        return known[1]

    def report_begins(self) -> None:
        """A storage commitment report is about to leave. Raises `NotOpened`."""
        if self.ledger is None:
            raise NotOpened("N-EVENT-REPORT-RQ")

    def store_begins(self, flow: Flow, store: Store) -> None:
        """A C-STORE request is about to leave. Raises `NotYet`, `NoLogSpace`, `NotOpened`, `TooManyUnderWay`."""
        assert self.back is not None
        if self.ledger is None:
            raise NotOpened("C-STORE-RQ")
        if not self.ledger.room(self.out.stores.count + self.back.stores.count):
            if self.ledger.wait(flow.source.space_answered):  # at most `record_seconds`, as for every answer of the custody writer
                flow.source.pause(Pause.SPACE)
                raise NotYet
            raise NoLogSpace(f"{self.ledger.stores} instances of this association have records")
        flow.stores.begin(store)

    def store_answered(self, flow: Flow, store: Store, status: int, done: Callable[[bool], None]) -> bool:
        """Write the record of a store that `flow`'s response answers. Returns whether the response has to wait for it."""
        assert self.ledger is not None and flow.back is not None
        if not store.whole and flow.back.stores.current is store:  # answered early: this much had passed
            store.length = flow.back.walker.received
        counters = self.gate.links[self.link.name]
        if status == 0 or 0xB000 <= status <= 0xBFFF:  # PS3.7 C: success, warning
            counters.instances += 1
        else:
            counters.not_stored += 1
        counters.bytes += store.length
        hold = self.gate.hold_responses
        self.ledger.store(store, status, Outcome.STATUS, _sent_by(flow.back), done if hold else _nobody_waits)
        return hold

    def status_edited(self, flow: Flow, instance: str) -> None:
        """An instance left with another SOP Instance Status than it came with."""
        self.gate.event(Code.STATUS_SET_NS, self.titles, link=self.link.name, instance=instance, sender=_sent_by(flow).value)

    def record_failed(self, flow: Flow, store: Store) -> None:
        """The response leaves with A700: its record is not durable."""
        self.gate.event(Code.RECORD_FAILED, self.titles, link=self.link.name, instance=store.instance, holder=_other(flow).value)
        if self.ledger is not None and flow.back is not None and flow.sink is not None and flow.sink.state is State.OPEN:
            self.ledger.told(store, OUT_OF_RESOURCES, Code.RECORD_FAILED, _sent_by(flow.back))

    def sent_by(self, flow: Flow) -> SentBy:
        """Return which leg says what passes in `flow`."""
        return _sent_by(flow)

    def report_failed(self) -> None:
        """The answer to a storage commitment report leaves with 0110: its records are not durable."""
        self.gate.event(Code.COMMITMENT_NOT_RECORDED, self.titles, link=self.link.name)

    def long_pdu(self, flow: Flow, length: int) -> None:
        """A P-DATA-TF is longer than its receiver announced (PS3.8 D.1): passed on, once complained of."""
        self.gate.event(Code.PDU_TOO_LONG_FOR_PEER, self.titles, link=self.link.name, side=flow.source.side.value, bytes=length)

    # --- PDUs that are not P-DATA

    def control(self, flow: Flow, pdu: bytes) -> None:
        """A whole PDU came on `flow.source`."""
        leg = flow.source
        machine = self.machines[leg.side]
        read = self.gate.pdus.read(pdu)
        decoded = read.value
        before = machine.state
        if isinstance(decoded, Abort):
            source = AbortSource.PROVIDER if decoded.source == AbortSource.PROVIDER else AbortSource.USER
            effects = machine.handle(Event.ABORT_PDU, abort_source=source)
        else:
            effects = machine.handle(event_of(pdu[0]))
        if _ABORT_PROVIDER in effects or _ABORT_USER in effects:
            machine.state = before  # `fail` ends it, as it does for every other cause
            raise PduError(0, "9.2", f"{PduType(pdu[0]).name} in {before.name}", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
        if isinstance(decoded, AssociateRQ):
            assert self.opening is not None
            self.opening.requested(decoded, read, pdu)
        elif isinstance(decoded, AssociateAC):
            self._answered(decoded, read, pdu)
        elif isinstance(decoded, AssociateRJ):
            self._rejected(decoded, pdu)
        elif isinstance(decoded, Abort):
            aborted(self, leg, pdu)
        elif _INDICATE_RELEASE in effects:
            release_asked(self, leg, pdu)
        elif _CONFIRM_RELEASE in effects:
            release_confirmed(self, leg, pdu)

    def _answered(self, ac: AssociateAC, read: Read, pdu: bytes) -> None:
        """The called side accepted: AE-3 there, AE-7 here."""
        assert self.request is not None
        self.accepted = read.agreed(self.request)
        for context in self.left_out:
            self.accepted.pop(context, None)
        if self.gate.keeper is not None and self.callee is not None:
            self.gate.keeper.passed(self.link, self.direction, self.callee, self.request, ac)
        pdu = answer(pdu, self.request, self.left_out)
        assert self.back is not None
        self.out.asynchronous = self.back.asynchronous = read.asynchronous
        self.out.walker.announced(read.maximum_length)
        self.back.walker.announced(self.request_length)
        if self.link.sop_instance_status is not StatusRule.PASS:
            from wardgate.relay.status import arm

            arm(self, self.request_length, read.maximum_length)
        self.machines[Side.ACCEPTOR].handle(Event.ACCEPT_RESPONSE)
        self.opened()
        self.established_at = self.gate.loop.now
        self.gate.links[self.link.name].associations += 1
        self.enter(Phase.ESTABLISHED, self.gate.limits.idle_seconds)
        self.acceptor.send(pdu)
        self.gate.event(Code.ASSOCIATION_BEGAN, self.titles, link=self.link.name, contexts=len(self.accepted))

    def _rejected(self, rj: AssociateRJ, pdu: bytes) -> None:
        """The called side rejected: AE-4 there, AE-8 here."""
        self.gate.event(
            Code.PEER_REJECTED, self.titles, link=self.link.name, result=rj.result, source=rj.source, reason=rj.reason,
            cause=rj.cause.name if rj.cause is not None else "reserved",
        )  # fmt: skip
        self.reject(pdu, str(Code.PEER_REJECTED))

    def reject(self, pdu: bytes, ended: str) -> None:
        """Send an A-ASSOCIATE-RJ to the caller and wait for it to close."""
        machine = self.machines[Side.ACCEPTOR]
        if machine.state is Sta.Sta3:
            machine.handle(Event.REJECT_RESPONSE)
        self.gate.links[self.link.name].refused += 1
        self.opened()
        self._end_requestor(clean=True)
        self.acceptor.send(pdu)
        self.caller_may_close(ended)

    def ended(self, how: str) -> None:
        """Tell that the association came to a good end."""
        self.gate.event(
            Code.ASSOCIATION_ENDED, self.titles, link=self.link.name, how=how, stores=self.ledger.stores if self.ledger else 0,
            seconds=f"{self.gate.loop.now - self.established_at:.1f}",
        )  # fmt: skip

    def caller_may_close(self, ended: str) -> None:
        """The last PDU went to the caller: close entry now, then wait for it to close (Sta13, ARTIM)."""
        self._unanswered()
        if self.ledger is not None:
            self.ledger.end(ended)
        if self.acceptor.state is State.CLOSED:
            self.over(ended)
        else:
            self.enter(Phase.ENDING, self.gate.limits.release_seconds)

    # --- what legs tell

    def connected(self, leg: Leg) -> None:
        """The requestor leg has its TCP connection."""
        if self.opening is not None:
            self.opening.connected(leg)

    def handshake_bytes(self, leg: Leg, data: bytes) -> None:
        """Bytes of a handshake."""
        if self.opening is not None:
            self.opening.handshake_bytes(leg, data)

    def lost(self, leg: Leg, reason: str) -> None:
        """The connection of `leg` ended."""
        lost(self, leg, reason)

    def broken(self, leg: Leg, error: Exception) -> None:
        """`leg` sent something that ends the association."""
        broken(self, leg, error)

    def fail(
        self, code: Code, at: Leg | None, reason: AbortReason = AbortReason.NOT_SPECIFIED, dead: bool = False, **fields: object
    ) -> None:
        """Abort both legs for `code`, seen on leg `at`."""
        fail(self, code, at, reason, dead, **fields)

    def overflow(self, flow: Flow) -> None:
        """A response held back grew beyond its bound."""
        self.gate.loop.soon(lambda: self.fail(Code.PDU_INVALID, flow.source, detail="too much behind a response"))

    # --- legs and flows

    def _end_requestor(self, clean: bool) -> None:
        if self.requestor is not None and self.requestor.state is not State.CLOSED:
            if self.requestor.state is State.OPEN:
                self.requestor.finish(close_notify=clean)
            else:
                self.requestor.close()

    def keep_session(self) -> None:
        """Keep the TLS session of the requestor leg for the next association."""
        leg = self.requestor
        if leg is not None and leg.channel is not None and self.callee is not None:
            secure = self.gate.party(self.link, self.callee)
            if secure is not None:
                secure.remember(leg.channel)

    def across(self, leg: Leg) -> Leg:
        """Return the other leg."""
        other = self.requestor if leg is self.acceptor else self.acceptor
        assert other is not None
        return other

    def flow_from(self, leg: Leg) -> Flow:
        """Return the flow of what `leg` says."""
        flow = self.out if leg is self.acceptor else self.back
        assert flow is not None
        return flow

    def flow_to(self, leg: Leg) -> Flow:
        """Return the flow of what `leg` is told."""
        flow = self.back if leg is self.acceptor else self.out
        assert flow is not None
        return flow


def _sent_by(flow: Flow) -> SentBy:
    return SentBy.ACCEPTOR if flow.source.side is Side.ACCEPTOR else SentBy.REQUESTOR


def _other(flow: Flow) -> Side:
    return flow.source.side


def _nobody_waits(_durable: bool) -> None:
    """A record that no response waits for."""
