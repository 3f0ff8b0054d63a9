"""One association of the forwarder: as Storage SCU it sends what a lane holds, in order, and sees to what becomes of each answer.

C-STORE-RSP taken   -> rename to .sent (durable) -> custody record (durable) -> remove
refused for good    -> custody record, quarantine
could pass later    -> custody record, release, pause of the destination
no answer           -> pause of the destination; the instance is sent again
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.custody.record import Leg as LegScope
from wardgate.custody.record import Outcome, Scope
from wardgate.custody.wire import Status
from wardgate.dimse.build import with_message_id
from wardgate.dimse.command import CommandError, CommandField, parse
from wardgate.hold.fragments import COMMAND, fragment_size, fragments
from wardgate.hold.memory import answers
from wardgate.hold.offer import user_information
from wardgate.hold.outcome import Meaning, meaning
from wardgate.hold.seal import Damaged
from wardgate.hold.wrap import WrapError
from wardgate.policy.model import Direction
from wardgate.relay.defects import traceback_of
from wardgate.relay.ledger import Ledger
from wardgate.relay.leg import Leg, Pause, Side, State
from wardgate.relay.phase import Phase
from wardgate.relay.secure import Handshake
from wardgate.relay.stores import Store
from wardgate.relay.tokens import Out
from wardgate.upperlayer.errors import LocalError, PduError
from wardgate.upperlayer.items import PresentationContextRQ
from wardgate.upperlayer.machine import Effect, Event, Role, UpperLayer, event_of
from wardgate.upperlayer.pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ, ReleaseRQ, accepted_contexts, decode
from wardgate.upperlayer.table import State as Sta
from wardgate.upperlayer.terms import AbortReason, AbortSource, PduType
from wardgate.upperlayer.walker import Walker

if TYPE_CHECKING:
    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.queue import Item, Lane
    from wardgate.hold.store import Reader
    from wardgate.policy.model import Link, Party
    from wardgate.transport.context import ProfiledContext
    from wardgate.transport.peer import PeerIdentity
    from wardgate.upperlayer.walker import Sink

MAX_CONTEXTS: Final = 127
LOOK_AHEAD: Final = 2048  # instances whose contexts are proposed
TURN_BYTES: Final = 1 << 20  # sent before others have their turn
_STORE_RSP: Final = int(CommandField.C_STORE_RSP)
_LATE: Final = {
    Phase.OPENING: Code.CONNECT_LATE,
    Phase.SHAKING: Code.HANDSHAKE_LATE,
    Phase.ANSWER: Code.ANSWER_LATE,
    Phase.ESTABLISHED: Code.IDLE,
    Phase.RELEASING: Code.RELEASE_LATE,
    Phase.ENDING: Code.RELEASE_LATE,
}


class Outgoing:
    """The instance that is being sent."""

    __slots__ = ("ahead", "chunks", "context", "item", "reader", "store")

    def __init__(self, item: Item, reader: Reader, context: int, store: Store) -> None:
        self.item = item
        self.reader = reader
        self.context = context
        self.store = store
        self.chunks: Iterator[bytes] = reader.chunks()
        self.ahead: bytes | None = None  # verified and not sent: the last one leaves only when the file is known to be whole


class Sending:
    """Owns the leg and follows its walker. Every call is on the loop's thread."""

    def __init__(self, forwarder: Forwarder, lane: Lane, link: Link, peer: Party) -> None:
        self.forwarder = forwarder
        self.gate = forwarder.gate
        self.lane = lane
        self.link = link
        self.peer = peer
        self.titles = f"{lane.pair.calling}>{lane.pair.called}"
        self.phase = Phase.OPENING
        self.deadline = 0.0
        self.leg: Leg | None = None
        self.delivered = 0
        self.stopping = False
        self._handshake: Handshake | None = None
        self._machine = UpperLayer(Role.REQUESTOR)
        self._request: AssociateRQ | None = None
        self._contexts: dict[tuple[str, str], int] = {}  # proposed
        self._accepted: dict[int, tuple[str, str]] = {}
        self._refused: dict[int, int] = {}  # context -> result
        self._fragment = 0
        self._entry_durable = False
        self._connected = False
        self._out: Outgoing | None = None
        self._messages = 0
        self._pending = 0  # answers on their way to the disk
        self._ended = ""
        self._failed = False
        self._full = False
        self._began = self.gate.loop.now
        assert peer.connect is not None
        self._scope = Scope(
            self.gate.config.box.name, link.name, Direction.TO_HOSPITAL.value, os.urandom(16), LegScope(lane.pair.calling, "hold"),
            LegScope(lane.pair.called, peer.connect.text),
        )  # fmt: skip
        self._ledger = Ledger(self.gate, self._scope)

    # --- life

    def begin(self) -> None:
        """Connect; the open entry becomes durable meanwhile."""
        assert self.peer.connect is not None
        self.lane.busy = True
        self.lane.destination.running += 1
        self._enter(Phase.OPENING, self.gate.limits.connect_seconds)
        self._ledger.begin(self._entry_answered)
        secure = self.gate.party(self.link, self.peer)
        if secure is None or secure.out is None:
            self._connect()
            return

        def built(contexts: tuple[ProfiledContext | None, ProfiledContext | None] | None, error: Exception | None) -> None:
            if self._ended:
                return
            if contexts is None:
                code = getattr(error, "code", Code.WORKER_DEFECT)
                self._fail(code if isinstance(code, Code) else Code.WORKER_DEFECT, detail=error)
                return
            secure.restore(*contexts)
            self._connect()

        self.gate.pool.submit(secure.build, built)

    def _connect(self) -> None:
        assert self.peer.connect is not None
        try:
            sock = self.gate.sockets.connect(self.peer.connect)
        except OSError as error:
            self._fail(Code.CONNECT_FAILED, detail=error.strerror)
            return
        self.leg = Leg(self.gate.loop, self.gate.buffers, sock, Side.REQUESTOR, self, self.peer.connect.text)
        self.leg.other = self
        self.leg.walker = Walker(self, self.gate.limits.pdu_bytes, self.gate.limits.associate_bytes)
        self._machine.handle(Event.ASSOCIATE_REQUEST)
        self.leg.watch(State.CONNECTING)

    def tick(self, now: float) -> None:
        """End what took too long."""
        if now < self.deadline or self._ended:
            return
        leg = self.leg
        moved = leg is not None and (leg.fed or leg.full)
        if leg is not None:
            leg.fed = False
        if self.phase is Phase.ENDING:
            self._over("released", failed=False)
        elif self.phase is Phase.ESTABLISHED and moved:
            self.deadline = now + self.gate.limits.idle_seconds
        else:
            self._fail(_LATE[self.phase], waited_for=self.phase.value)

    def stop(self) -> None:
        """Send nothing more; release when the answer of what is being sent has come."""
        self.stopping = True
        if self.phase is Phase.ESTABLISHED:
            self._next()
        elif self.phase not in (Phase.RELEASING, Phase.ENDING):
            self._over("stopped", failed=False)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.gate.loop.now + seconds

    # --- connection and association

    def connected(self, leg: Leg) -> None:
        """TCP is up."""
        secure = self.gate.party(self.link, self.peer)
        if secure is None:
            self._ready(None)
            return
        self._enter(Phase.SHAKING, self.gate.limits.handshake_seconds)
        leg.channel, kept_chain = secure.client_channel(self.gate.many)
        leg.state = State.HANDSHAKE
        self._handshake = Handshake(self.gate, leg, [secure], kept_chain, self._shaken)
        self._handshake.start()

    def handshake_bytes(self, leg: Leg, data: bytes) -> None:
        """Bytes of the handshake."""
        if self._handshake is not None and not self._ended:
            self._handshake.feed(data)

    def _shaken(self, identity: PeerIdentity | None, error: Exception | None) -> None:
        if self._ended:
            return
        secure = self.gate.party(self.link, self.peer)
        assert secure is not None
        title = self.lane.pair.called
        try:
            if identity is None:
                raise error if error is not None else RuntimeError("no identity")
            known = title in self.peer.ae_titles or "*" in self.peer.ae_titles
            secure.checker.check_ae(identity, self.peer, title if known else self.peer.ae_titles[0])
        except Exception as refused:
            secure.forget()
            code = getattr(refused, "code", Code.WORKER_DEFECT)
            self._fail(code if isinstance(code, Code) else Code.WORKER_DEFECT, detail=refused)
            return
        self._ready(identity)

    def _ready(self, identity: PeerIdentity | None) -> None:
        assert self.leg is not None
        channel = self.leg.channel
        tls = f"{channel.version} {channel.cipher}" if channel is not None else ""
        self._scope.set_requestor(LegScope(self.lane.pair.called, self.leg.address, identity.fingerprint if identity else "", tls))
        self._enter(Phase.ANSWER, self.gate.limits.associate_seconds)
        self._connected = True
        self._go()

    def _entry_answered(self, status: Status) -> None:
        if self._ended:
            return
        if status is not Status.OK:
            self._fail(Code.CUSTODY_REFUSED, status=status.name)
            return
        self._entry_durable = True
        self._go()

    def _go(self) -> None:
        """Send the A-ASSOCIATE-RQ: one context for each pair of abstract and transfer syntax that waits."""
        if not (self._connected and self._entry_durable) or self._ended:
            return
        assert self.leg is not None
        for item in self.lane.ahead(LOOK_AHEAD):
            key = (item.abstract_syntax, item.transfer_syntax)
            if key not in self._contexts and len(self._contexts) < MAX_CONTEXTS:
                self._contexts[key] = 2 * len(self._contexts) + 1
        contexts = tuple(PresentationContextRQ.of(context, *key) for key, context in self._contexts.items())
        if not contexts:
            self._over("empty", failed=False)
            return
        try:
            self._request = AssociateRQ.of(self.lane.pair.called, self.lane.pair.calling, contexts, user_information())
            pdu = self._request.encode()
        except (LocalError, ValueError) as error:  # an AE title that only our own encoder minds
            self._fail(Code.WORKER_DEFECT, detail=error)
            return
        self._machine.handle(Event.TRANSPORT_CONFIRM)
        self.leg.send(pdu)
        if self._handshake is not None:
            self._handshake.take_early_data()

    # --- what the walker tells

    def passes(self, data: memoryview) -> None:
        """P-DATA-TF bytes that went by."""

    def long_pdu(self, length: int) -> None:
        """Nobody announced less."""

    def data_set(self, context: int, length: int) -> None:
        """A data set from the destination, which has none to send: thrown away."""

    def control(self, pdu: bytes) -> None:
        """A PDU that is not P-DATA-TF."""
        decoded = decode(pdu)
        before = self._machine.state
        source = AbortSource.USER
        if isinstance(decoded, Abort) and decoded.source == AbortSource.PROVIDER:
            source = AbortSource.PROVIDER
        effects = self._machine.handle(event_of(pdu[0]), abort_source=source)
        if Effect.SEND_ABORT_PROVIDER in effects or Effect.SEND_ABORT_USER in effects:
            self._machine.state = before
            raise PduError(0, "9.2", f"{PduType(pdu[0]).name} in {before.name}", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
        if isinstance(decoded, AssociateAC):
            self._answered(decoded)
        elif isinstance(decoded, AssociateRJ):
            cause = decoded.cause.name if decoded.cause is not None else "reserved"
            self._fail(Code.PEER_REJECTED, result=decoded.result, source=decoded.source, reason=decoded.reason, cause=cause)
        elif isinstance(decoded, Abort):
            self._fail(Code.PEER_ABORTED, source=pdu[8], reason=pdu[9])
        elif isinstance(decoded, ReleaseRQ):  # the destination wants to go: let it, and come again
            assert self.leg is not None
            if self._machine.state is Sta.Sta8:
                self._machine.handle(Event.RELEASE_RESPONSE)
                self.leg.send(bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
            self._over("released by the peer", failed=self._out is not None)
        elif Effect.CONFIRM_RELEASE in effects:
            self._remember_session()
            self._over("released", failed=False)

    def _answered(self, ac: AssociateAC) -> None:
        assert self._request is not None and self.leg is not None
        self._accepted = accepted_contexts(self._request, ac)
        self._refused = {context.id: context.result for context in ac.contexts if not context.accepted}
        self._fragment = fragment_size(ac.maximum_length)
        self.forwarder.teach(self.lane.pair, answers(self._request, ac))
        self._enter(Phase.ESTABLISHED, self.gate.limits.idle_seconds)
        self._next()

    # --- one instance after the other

    def _next(self) -> None:
        """Send the head of the lane, or release."""
        while not self._ended and self._out is None and self.phase is Phase.ESTABLISHED:
            item = self.lane.head()
            if item is None or self.stopping:
                self._release()
                return
            context = self._contexts.get((item.abstract_syntax, item.transfer_syntax))
            if context is None:  # came later, or one too many: another association proposes it
                self._release()
                return
            if not self._ledger.room(self._pending):
                self._release()
                return
            if self._accepted.get(context, ("", ""))[1] != item.transfer_syntax:
                result = self._refused.get(context, 2)
                self._aside(item, None, "context not accepted", {"result": result})
                continue
            self._start(item, context)

    def _start(self, item: Item, context: int) -> None:
        try:
            reader = self.forwarder.store.read(item.entry.name)
        except FileNotFoundError:
            self.forwarder.queue.remove(self.lane, item)
            return
        except (Damaged, OSError) as error:
            self._damaged(item, error)
            return
        header = reader.header
        self._messages = self._messages % 0xFFFF + 1
        try:
            command = with_message_id(bytes.fromhex(header.command), self._messages)
            store = Store(parse(command), context, header.transfer_syntax, self.gate.buffers)
        except (ValueError, CommandError) as error:
            reader.close()
            self._damaged(item, error)
            return
        out = Outgoing(item, reader, context, store)
        try:
            out.ahead = next(out.chunks, b"")
        except (Damaged, OSError) as error:  # before a byte of it was sent
            reader.close()
            self._damaged(item, error)
            return
        except WrapError as error:
            reader.close()
            self._fail(Code.HOLD_KEY, detail=error)
            return
        assert self.leg is not None
        self._out = out
        self.deadline = self.gate.loop.now + self.gate.limits.idle_seconds
        self.leg.send(fragments(context, COMMAND, command, self._fragment))
        self._pump()

    def _pump(self) -> None:
        """Send of the data set what the socket takes."""
        out, leg = self._out, self.leg
        sent = 0
        while out is not None and out is self._out and out.ahead is not None and not self._full and not self._ended:
            assert leg is not None
            if sent >= TURN_BYTES:
                self.gate.loop.soon(self._pump)
                return
            try:
                following = next(out.chunks, None)
            except (Damaged, WrapError, OSError) as error:
                self._damaged_while_sending(out, error)
                return
            data, out.ahead = out.ahead, following
            out.store.digest.update(memoryview(data))
            out.store.length += len(data)
            if following is None:
                out.store.whole = True
                trailer = out.reader.trailer
                if trailer is None or trailer.sha256 != out.store.digest.hexdigest():
                    self._damaged_while_sending(out, Damaged("the data set has not the digest that it came with"))
                    return
                out.reader.close()
            sent += len(data)
            leg.send(fragments(out.context, 0, data, self._fragment, last=following is None))

    def pause(self, why: Pause) -> None:
        """The leg has bytes waiting."""
        self._full = True

    def resume(self, why: Pause) -> None:
        """The leg takes bytes again."""
        self._full = False
        self._pump()

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set of the destination came."""
        parsed = parse(command)
        assert self.leg is not None and self.leg.walker is not None
        self.leg.walker.expects_data = parsed.has_data_set
        out = self._out
        if parsed.command_field != _STORE_RSP or out is None or parsed.message_id_responded != out.store.message:
            return None
        if not out.store.whole:  # answered early: the rest need not be sent, but a message cannot be cut either
            self._early(out, parsed.status)
            return None
        self._out = None
        self._conclude(out, parsed.status)
        self._next()
        return None

    def _conclude(self, out: Outgoing, status: int) -> None:
        item = out.item
        what = meaning(status)
        if what is Meaning.TAKEN:
            self._taken(out, status)
            return
        self.lane.destination.last_code = f"{status:04X}"
        item.attempts += 1
        if what is Meaning.NEVER or item.attempts >= self.forwarder.hold.attempts:
            self._aside(item, out.store, "refused" if what is Meaning.NEVER else "refused too often", {"status": f"{status:04X}"}, status)
            return
        self._ledger.store(out.store, status, Outcome.STATUS, SentBy.ACCEPTOR, _nobody_waits)
        self._failed = True
        self.gate.event(Code.HOLD_RETRY, self.titles, link=self.link.name, peer_name=self.peer.name, status=f"{status:04X}")
        self._release()

    def _taken(self, out: Outgoing, status: int) -> None:
        """Write it down before anything else: whatever happens from here on, it is not sent a second time."""
        forwarder, item = self.forwarder, out.item
        try:
            entry = forwarder.store.answered(item.entry, status)
        except OSError as error:
            self.gate.event(Code.HOLD_ACK_FAILED, self.titles, link=self.link.name, file=item.entry.name, detail=error)
            self._fail(Code.HOLD_ACK_FAILED)
            return
        forwarder.queue.remove(self.lane, item)
        self.delivered += 1
        self.lane.destination.delivered += 1
        self.lane.destination.pauses.worked()
        self.lane.destination.last_code = ""
        self._pending += 1

        def recorded(durable: bool) -> None:
            if durable:
                forwarder.remove(entry)
            else:
                forwarder.unrecorded(entry)
            self._settled()

        def synced(error: Exception | None) -> None:
            if error is not None:
                self.gate.event(Code.HOLD_ACK_FAILED, self.titles, link=self.link.name, file=entry.name, detail=error)
            self._ledger.store(out.store, status, Outcome.STATUS, SentBy.ACCEPTOR, recorded)

        forwarder.syncer.submit(_nothing, synced)

    def _aside(self, item: Item, store: Store | None, reason: str, fields: dict[str, object], status: int | None = None) -> None:
        """Put an instance into quarantine; the next one has its turn."""
        if store is not None:
            self._ledger.store(store, status, Outcome.STATUS, SentBy.ACCEPTOR, _nobody_waits)
        self._set_aside(Code.HOLD_QUARANTINED, item, reason, fields)

    def _damaged(self, item: Item, error: Exception) -> None:
        self._set_aside(Code.HOLD_DAMAGED, item, "damaged", {"detail": str(error)[:200]})

    def _set_aside(self, code: Code, item: Item, reason: str, fields: dict[str, object]) -> None:
        forwarder = self.forwarder
        self.gate.event(code, self.titles, link=self.link.name, peer_name=self.peer.name, file=item.entry.name, reason=reason, **fields)
        forwarder.queue.remove(self.lane, item)
        self._pending += 1

        def done(error: Exception | None) -> None:
            if error is not None:  # it is still in the queue, and found again there
                self.gate.event(Code.HOLD_ACK_FAILED, self.titles, link=self.link.name, file=item.entry.name, detail=error)
            self._settled()

        why = {"code": str(code), "reason": reason, **fields}
        forwarder.syncer.submit(lambda: forwarder.store.set_aside(item.entry, why), done, sync=False)

    def _damaged_while_sending(self, out: Outgoing, error: Exception) -> None:
        """A part of it has left: only an A-ABORT can take that back."""
        if isinstance(error, Damaged):
            self._out = None
            out.reader.close()
            self._record_cut(out)
            self._damaged(out.item, error)
            self._abort()
            self._over(str(Code.HOLD_DAMAGED), failed=False)
        else:
            self._fail(getattr(error, "code", Code.HOLD_WRITE_FAILED), detail=error)

    def _early(self, out: Outgoing, status: int) -> None:
        """The destination answered before the data set was whole: it takes nothing more of it."""
        self._out = None
        out.reader.close()
        if meaning(status) is Meaning.TAKEN:  # of half a data set: not to be believed
            self._record_cut(out)
            self._abort()
            self._fail(Code.UNEXPECTED_PDU, detail="success before the data set was whole")
            return
        self._conclude(out, status)
        self._abort()
        self._over(str(Code.HOLD_RETRY), failed=self._failed)

    def _record_cut(self, out: Outgoing) -> None:
        outcome = Outcome.UNKNOWN if out.store.whole else Outcome.ABORTED
        self._ledger.store(out.store, None, outcome, SentBy.ACCEPTOR, _nobody_waits)

    # --- the end

    def _release(self) -> None:
        if self.phase is not Phase.ESTABLISHED or self._machine.state is not Sta.Sta6:
            return
        assert self.leg is not None
        self._enter(Phase.RELEASING, self.gate.limits.release_seconds)
        self._machine.handle(Event.RELEASE_REQUEST)
        self.leg.send(bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)))

    def _abort(self) -> None:
        leg = self.leg
        if leg is not None and leg.state is State.OPEN and self._machine.state not in (Sta.Sta1, Sta.Sta4, Sta.Sta13):
            self._machine.handle(Event.ABORT_REQUEST)
            leg.send(Abort(AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED).encode())
            leg.part()

    def _fail(self, code: Code, **fields: object) -> None:
        """The association ends for `code`; the destination pauses."""
        if self._ended:
            return
        self.lane.destination.last_code = str(code)
        self.gate.event(code, self.titles, link=self.link.name, peer_name=self.peer.name, phase=self.phase.value, **fields)
        self._abort()
        self._over(str(code), failed=True)

    def _over(self, ended: str, failed: bool) -> None:
        """Nothing more is sent. What was answered goes on to the disk."""
        if self._ended:
            return
        self._ended = ended
        self.phase = Phase.OVER
        out, self._out = self._out, None
        if out is not None:
            out.reader.close()
            self._record_cut(out)
            out.item.attempts += 1
            if out.item.attempts >= self.forwarder.hold.attempts:  # whoever ends the association each time: let the others pass
                self._set_aside(Code.HOLD_QUARANTINED, out.item, "no answer, too often", {})
        if self.leg is not None and self.leg.state not in (State.PARTING, State.CLOSED):
            self.leg.finish(close_notify=True)
        self._failed |= failed
        if not self._pending:
            self._finish()

    def _settled(self) -> None:
        self._pending -= 1
        if not self._pending and self._ended:
            self._finish()

    def _finish(self) -> None:
        self._ledger.end(self._ended)
        secure = self.gate.party(self.link, self.peer)
        if secure is not None and secure.token is not None and self.lane.destination.running == 1:
            secure.withdraw(Out(Code.TOKEN_IS_ABSENT, "not asked yet"))
        self.lane.busy = False
        self.lane.destination.running -= 1
        self.forwarder.ended(self, self._failed)

    def _remember_session(self) -> None:
        secure = self.gate.party(self.link, self.peer)
        if secure is not None and self.leg is not None and self.leg.channel is not None:
            secure.remember(self.leg.channel)

    # --- what the leg tells

    def lost(self, leg: Leg, reason: str) -> None:
        """The connection ended."""
        if self._ended:
            leg.close()
            return
        secure = self.gate.party(self.link, self.peer)
        if leg.state is State.HANDSHAKE and secure is not None:
            secure.forget()
        code = {State.CONNECTING: Code.CONNECT_FAILED, State.HANDSHAKE: Code.TLS_ENDED_IN_HANDSHAKE}.get(leg.state, Code.LEG_LOST)
        self._fail(code, detail=reason)

    def broken(self, leg: Leg, error: Exception) -> None:
        """The destination sent what ends the association, or a defect of ours did."""
        if self._ended:
            return
        code = Code.WORKER_DEFECT if isinstance(error, LocalError) else getattr(error, "code", Code.WORKER_DEFECT)
        where = {"where": traceback_of(error)} if code is Code.WORKER_DEFECT else {}
        self._fail(code, detail=str(error), kind=type(error).__name__, **where)


def _nobody_waits(_durable: bool) -> None:
    """A record that nothing waits for."""


def _nothing() -> None:
    """Only the directory is to be synced."""
