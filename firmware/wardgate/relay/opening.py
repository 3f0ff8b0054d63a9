"""How an association comes to be: the caller (`caller`), its A-ASSOCIATE-RQ, policy, the open entry, the called side.

When its turn has come (`openings`) two things go on at once: the open entry is made durable, and the other leg connects and shakes
hands. The A-ASSOCIATE-RQ leaves the box when both are done. An association that proposes nothing that can be stored has no open entry.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.custody.record import Leg as LegScope
from wardgate.custody.record import Scope
from wardgate.custody.wire import Status
from wardgate.edit.associate import leave_out
from wardgate.policy.decide import Refuse
from wardgate.policy.endpoint import Endpoint, parse_endpoint
from wardgate.policy.model import Delivery, Direction, Transport
from wardgate.relay.caller import Caller, warn
from wardgate.relay.defects import code_of
from wardgate.relay.flow import Flow
from wardgate.relay.gate import title_of
from wardgate.relay.instead import choices_of_a_report, choices_to_hold, take_over
from wardgate.relay.ledger import Ledger
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.relay.openings import Standing
from wardgate.relay.phase import Phase
from wardgate.relay.secure import Handshake
from wardgate.transport.sniff import classify
from wardgate.upperlayer.machine import Event
from wardgate.upperlayer.pdu import AssociateRJ, AssociateRQ
from wardgate.upperlayer.terms import RejectCause, RejectResult

if TYPE_CHECKING:
    from wardgate.hold.offer import Choice
    from wardgate.relay.association import Association
    from wardgate.relay.first import Turn
    from wardgate.relay.openings import Place
    from wardgate.relay.pdus import Read
    from wardgate.relay.secure import Secured
    from wardgate.transport.peer import PeerIdentity

_FIRST_BYTES = 16
KEYS_CODES = 7  # 7xx: keys and tokens
HOLD_ADDRESS = "hold"  # in records: the called side was the box itself


class Opening:
    """The part of an association before its answer."""

    def __init__(self, association: Association) -> None:
        self._a = association
        self._gate = association.gate
        self.caller = Caller(association)
        self._handshake: Handshake | None = None  # with the called side
        self._place: Place | None = None  # among those that are opened with the called side at once
        self._turn: Turn | None = None  # others wait for our handshake
        self._calling = self._called = ""
        self._at = ""  # the address of the called side, once it is known
        self._records = False  # there is an open entry
        self._request = b""  # the A-ASSOCIATE-RQ as it will leave
        self._entry_durable = False
        self._other_ready = False
        self._first: dict[Side, bytes] = {}
        self._passed_on = False  # the A-ASSOCIATE-RQ has left the box
        self._choices: list[Choice] | None = None  # what the box answers itself, when it is to hold

    # --- the request

    def requested(self, rq: AssociateRQ, read: Read, pdu: bytes) -> None:
        """A whole A-ASSOCIATE-RQ came (AE-6 done): decide, then reach the called side."""
        a = self._a
        gate = self._gate
        a.spoke()
        a.request = rq
        a.request_length = read.maximum_length
        calling, called = read.calling, read.called
        a.titles = f"{calling}>{called}"
        if gate.draining:
            self._reject(Code.DRAIN_CUT, RejectResult.TRANSIENT, RejectCause.TEMPORARY_CONGESTION)
            return
        self.caller.choose(calling)
        decision = read.decide(a.link, a.direction, a.caller)
        if isinstance(decision, Refuse):
            gate.event(decision.code, a.titles, link=a.link.name, at=a.acceptor.address)
            a.reject(AssociateRJ(decision.result, decision.source, decision.reason).encode(), str(decision.code))
            return
        if decision.would_refuse is not None:
            gate.event(Code.WOULD_REFUSE, a.titles, link=a.link.name, would=decision.would_refuse.code)
        elif decision.would_refuse_context_ids:
            gate.event(Code.WOULD_REFUSE, a.titles, link=a.link.name, contexts=sorted(decision.would_refuse_context_ids))
        for party in (a.caller, decision.peer):
            secure = self._gate.party(a.link, party)
            if secure is not None and secure.out is not None:
                self._unreachable(secure.out.code, secure.out.detail)
                return
        if not self.caller.bound(calling):
            return
        a.callee = decision.peer
        a.left_out = decision.refused_context_ids
        self._request = leave_out(pdu, a.left_out)
        if a.left_out:
            classes = sorted({syntax for number, syntax in read.contexts if number in a.left_out})
            gate.event(Code.CONTEXT_LEFT_OUT, a.titles, link=a.link.name, contexts=len(a.left_out), classes=",".join(classes[:4]))
        if a.link.delivery is Delivery.HOLD and a.direction is Direction.TO_HOSPITAL:
            self._choices = choices_to_hold(a)
            if self._choices is None:
                self._not_held()
                return
        if a.link.delivery is not Delivery.RELAY and a.direction is Direction.TO_MODALITY:
            self._choices = choices_of_a_report(a)
        # A box that holds may have to answer in the other's place, and knows what it says by its ledger.
        self._open(calling, called, records=read.may_store or a.link.delivery is not Delivery.RELAY)

    # --- our turn; then open entry and called side, at once

    def _open(self, calling: str, called: str, records: bool) -> None:
        """Wait for our turn, or hold. Without `records` no C-STORE can come, and there is no open entry."""
        a = self._a
        gate = self._gate
        assert a.callee is not None and a.callee.connect is not None
        self._calling, self._called = calling, called
        self._records = records
        if self._choices is not None:
            self._hold()
            return
        target = self._target(a.callee.connect)
        self._at = target.text
        a.enter(Phase.OPENING, gate.limits.handshake_seconds)
        self._place = gate.openings.place((a.link.name, target.text), lambda: self._connect(target))
        self._place.ask()

    def _enter_log(self, address: str) -> None:
        """Begin the open entry of an association with `address`."""
        a = self._a
        if not self._records:
            self._entry_durable = True
            return
        acceptor = _scope_of(self._calling, a.acceptor, self.caller.identity)
        requestor = LegScope(self._called, address)
        self._scope = Scope(self._gate.config.box.name, a.link.name, a.direction._value_, os.urandom(16), acceptor, requestor)
        a.ledger = Ledger(self._gate, self._scope)
        a.ledger.begin(self._entry_answered)

    def _hold(self) -> None:
        """Nobody is called: the box answers when the open entry is durable."""
        a = self._a
        a.enter(Phase.OPENING, self._gate.limits.record_seconds)
        if a.ledger is None:
            self._enter_log(HOLD_ADDRESS)
        else:
            self._scope.set_requestor(LegScope(self._called, HOLD_ADDRESS))

    def _leave_place(self) -> None:
        """The called side has answered, or will not: the next one may begin."""
        if self._place is not None:
            self._place.leave()
            self._place = None

    def _connect(self, target: Endpoint) -> None:
        """Our turn has come."""
        a = self._a
        gate = self._gate
        self._enter_log(target.text)
        a.enter(Phase.OPENING, gate.limits.connect_seconds)
        if gate.sockets.waits:
            caller = parse_endpoint(a.acceptor.address)
            gate.pool.submit(lambda: gate.sockets.connect(target, caller), lambda sock, error: self._connecting(target, sock, error))
            return
        try:
            sock = gate.sockets.connect(target)
        except OSError as error:
            self._connecting(target, None, error)
            return
        self._connecting(target, sock, None)

    def _target(self, endpoint: Endpoint) -> Endpoint:
        """Return where the called side is; host `*`: whom the caller meant to reach."""
        if endpoint.host != "*":
            return endpoint
        meant = self._gate.sockets.original_destination(self._a.acceptor.sock)
        return Endpoint(meant.host, endpoint.port) if meant is not None else endpoint

    def _connecting(self, target: Endpoint, sock: socket.socket | None, error: Exception | None) -> None:
        """A connect has begun, or could not begin."""
        a = self._a
        gate = self._gate
        # Ended, or to be held by now, while the socket was on its way.
        if a.opening is not self or a.phase is not Phase.OPENING or self._choices is not None:
            if sock is not None:
                sock.close()
            return
        if sock is None:
            code = getattr(error, "code", Code.CONNECT_FAILED)
            self._unreachable(code, str(getattr(error, "strerror", None) or error))
            return
        leg = Leg(gate.loop, gate.buffers, sock, Side.REQUESTOR, a, target.text)
        leg.listens = True
        a.requestor = leg
        leg.other, a.acceptor.other = a.acceptor, leg
        a.back = Flow(a, leg, gate.limits.pdu_bytes, gate.limits.associate_bytes)
        a.back.sink, a.out.sink = a.acceptor, leg
        a.back.back, a.out.back = a.out, a.back
        a.machines[Side.REQUESTOR].handle(Event.ASSOCIATE_REQUEST)
        leg.watch(State.CONNECTING)

    def connected(self, leg: Leg) -> None:
        """TCP to the called side is up."""
        a = self._a
        assert a.callee is not None
        secure = self._gate.party(a.link, a.callee)
        if secure is None:
            self._ready(None)
            return
        a.enter(Phase.OPENING, self._gate.limits.handshake_seconds)
        leg.state = State.HANDSHAKE
        self._turn = secure.shake(self._gate.loop, lambda: self._shake(leg, secure))

    def _shake(self, leg: Leg, secure: Secured) -> None:
        """Begin the handshake with the called side, now or when another has brought a session to resume."""
        a = self._a
        if a.opening is not self or leg.state is not State.HANDSHAKE or secure.out is not None:
            return  # ended while it waited
        a.enter(Phase.OPENING, self._gate.limits.handshake_seconds)
        leg.channel, kept_chain = secure.client_channel(self._gate.many)
        self._handshake = Handshake(self._gate, leg, [secure], kept_chain, self._called_shaken)
        self._handshake.start()

    def handshake_bytes(self, leg: Leg, data: bytes) -> None:
        """Bytes of a handshake; the first ones may tell that the peer does not speak TLS at all."""
        first = self._first.get(leg.side, b"")
        tls = leg.channel is not None and leg.channel.tls_first  # ISCL names by itself what is not ISCL
        if tls and len(first) < _FIRST_BYTES:
            first = self._first[leg.side] = (first + data)[:_FIRST_BYTES]
            code = classify(first, Transport.TLS)
            if code is not None and code is not Code.SILENT_CLIENT:
                self._failed(leg, code, None)
                return
        handshake = self.caller.handshake if leg is self._a.acceptor else self._handshake
        if handshake is None:  # it waits for its turn, and a TLS server says nothing first
            self._failed(leg, Code.TLS_PEER_NOT_TLS, None)
            return
        handshake.feed(data)

    def _called_shaken(self, identity: PeerIdentity | None, error: Exception | None) -> None:
        a = self._a
        assert a.callee is not None and a.requestor is not None
        secure = self._gate.party(a.link, a.callee)
        assert secure is not None
        try:
            if identity is None:
                raise error if error is not None else RuntimeError("no identity")
            secure.checker.check_ae(identity, a.callee, title_of(a.callee, self._called))
        except Exception as refused:
            secure.forget()
            self._unreachable(code_of(refused), str(refused))
            return
        self._ready(identity)

    def _ready(self, identity: PeerIdentity | None) -> None:
        a = self._a
        assert a.requestor is not None
        if a.ledger is not None:
            self._scope.set_requestor(_scope_of(self._called, a.requestor, identity))
        a.requestor.pause(Pause.EARLY)
        self._other_ready = True
        warn(a, identity)
        self._go()

    def _entry_answered(self, status: Status) -> None:
        a = self._a
        if a.opening is not self:
            return
        if status is Status.OK:
            self._entry_durable = True
            if self._choices is None:
                self._go()
            else:
                take_over(a, self._choices)
        else:
            code = Code.CUSTODY_UNSIGNED_FULL if status is Status.UNSIGNED else Code.CUSTODY_REFUSED
            self._gate.event(code, a.titles, link=a.link.name, status=status.name)
            self._reject(None, RejectResult.TRANSIENT, RejectCause.LOCAL_LIMIT_EXCEEDED)

    def _go(self) -> None:
        """Both are done: the A-ASSOCIATE-RQ leaves the box."""
        if not (self._entry_durable and self._other_ready):
            return
        self._passed_on = True
        a = self._a
        assert a.requestor is not None
        a.machines[Side.REQUESTOR].handle(Event.TRANSPORT_CONFIRM)
        a.enter(Phase.ANSWER, self._gate.limits.associate_seconds)
        a.requestor.resume(Pause.EARLY)
        a.requestor.send(self._request)
        self._request = b""
        if self._handshake is not None:
            self._handshake.take_early_data()

    def forget(self) -> None:
        """Let go of the handshakes, which hold this in turn, and of those that wait for ours, or for our place."""
        self._leave_place()
        self.caller.forget()
        if self._a.requestor is not None:
            self._a.requestor.listens = False
        if self._turn is not None:
            leg, turn, self._turn = self._a.requestor, self._turn, None
            turn.over(leg.channel if leg is not None and self._passed_on else None)
        self._handshake = None
        self._request = b""

    # --- what goes wrong

    def late(self, code: Code) -> None:
        """The deadline of this phase passed."""
        a = self._a
        if a.phase in (Phase.SHAKING, Phase.REQUEST):
            if not a.acceptor.received:
                code = Code.SILENT_CLIENT
            self.caller.refuse(code)
        elif self._place is not None and self._place.standing is Standing.WAITING:
            self._unreachable(Code.TURN_LATE, "")
        elif a.phase is Phase.OPENING and self._choices is None and a.requestor is not None and a.requestor.state is State.HANDSHAKE:
            self._unreachable(Code.HANDSHAKE_LATE, "")
        elif a.phase is Phase.OPENING and (self._other_ready or self._choices is not None):
            self._gate.event(Code.CUSTODY_REFUSED, a.titles, link=a.link.name, status="late")
            self._reject(None, RejectResult.TRANSIENT, RejectCause.LOCAL_LIMIT_EXCEEDED)
        else:
            self._unreachable(code, "")

    def lost(self, leg: Leg, reason: str) -> None:
        """A leg ended before the answer."""
        a = self._a
        if leg is a.acceptor:
            if leg.state is State.HANDSHAKE and leg.received:
                self.caller.refuse(leg.ended_early_code)
            elif leg.received:
                a.fail(Code.LEG_LOST, leg, detail=reason)
            else:  # a port check: connected, said nothing, left
                leg.close()
                a.over(str(Code.LEG_LOST))
        elif leg.state is State.HANDSHAKE:
            self._unreachable(leg.ended_early_code, reason)
        elif leg.state is State.CONNECTING:
            self._unreachable(Code.CONNECT_FAILED, reason)
        else:
            self._unreachable(Code.LEG_LOST, reason)

    def mismatch(self, leg: Leg) -> bool:
        """`leg` sent what is no PDU. If its first bytes tell what it speaks instead, end with that name and return true."""
        a = self._a
        if leg.channel is not None or leg.walker is None or leg.walker.offset:
            return False
        first = bytes(self._gate.buffers.plain[:_FIRST_BYTES])
        code = classify(first, Transport.PLAIN)
        if code is None:
            return False
        self._failed(leg, code, None)
        return a.opening is None

    def _failed(self, leg: Leg, code: Code, error: Exception | None) -> None:
        if leg is self._a.acceptor:
            self.caller.refuse(code, error)
        else:
            self._unreachable(code, str(error or ""))

    def withdrawn(self, secure: Secured, late: bool = False) -> None:
        """The token of `secure` went. What has no A-ASSOCIATE-RQ on its way yet ends; with `late` also what waits for the answer."""
        a = self._a
        out = secure.out
        assert out is not None
        if a.phase in (Phase.SHAKING, Phase.REQUEST):
            if secure is self.caller.shown:
                self.caller.refuse(out.code, detail=out.detail)
        elif a.phase is Phase.OPENING or (late and a.phase is Phase.ANSWER):
            callee = self._gate.party(a.link, a.callee) if a.callee is not None else None
            if secure in (callee, self.caller.shown):
                self._unreachable(out.code, out.detail)

    def _unreachable(self, code: Code, detail: str) -> None:
        """The called side cannot be had: A-ASSOCIATE-RJ to the caller, transient, provider, temporary congestion (PS3.8 9.3.4)."""
        a = self._a
        self._leave_place()
        told = {name: value for name, value in (("at", self._at), ("detail", detail)) if value}
        self._gate.event(code, a.titles, link=a.link.name, **told)
        if a.requestor is not None:
            a.requestor.finish(close_notify=False)
        away = not self._passed_on and code.value.number // 100 != KEYS_CODES  # the called side, not our own card
        if away and a.callee is not None and a.link.delivery is Delivery.RELAY_THEN_HOLD and a.direction is Direction.TO_HOSPITAL:
            self._choices = choices_to_hold(a)
            if self._choices is not None:
                self._hold()
                if self._entry_durable:
                    take_over(a, self._choices)
            else:
                self._not_held()
            return
        a.reject(AssociateRJ.of(RejectResult.TRANSIENT, RejectCause.TEMPORARY_CONGESTION).encode(), str(code))

    # --- the box answers itself

    def _not_held(self) -> None:
        keeper = self._gate.keeper
        assert keeper is not None
        if keeper.key_out is not None:  # nothing is taken that could not be sealed
            self._gate.event(keeper.key_out.code, self._a.titles, link=self._a.link.name, detail="the key of the queue is out")
            self._reject(None, RejectResult.TRANSIENT, RejectCause.TEMPORARY_CONGESTION)
            return
        self._reject(Code.HOLD_FIRST_CONTACT, RejectResult.TRANSIENT, RejectCause.TEMPORARY_CONGESTION)

    def _reject(self, code: Code | None, result: RejectResult, cause: RejectCause) -> None:
        a = self._a
        if code is not None:
            self._gate.event(code, a.titles, link=a.link.name)
        a.reject(AssociateRJ.of(result, cause).encode(), str(code or Code.CUSTODY_REFUSED))


def _scope_of(title: str, leg: Leg, identity: PeerIdentity | None) -> LegScope:
    """Return what records say of one leg."""
    channel = leg.channel
    return LegScope(
        title, leg.address, identity.fingerprint if identity is not None else "",
        f"{channel.version} {channel.cipher}" if channel is not None else "",
    )  # fmt: skip
