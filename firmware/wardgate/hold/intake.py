"""An association that the box answers itself, as Storage SCP, because its link holds or the destination is away.

It takes over the leg of the caller, its state machine and its ledger from the relay's opening. A C-STORE is answered with success
only after the instance and its custody record are durable: where the instance carries the text of its record (see `row`) both are, at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.custody.record import Outcome
from wardgate.dimse.commitment import SOP_CLASS as COMMITMENT
from wardgate.hold import offer, scp
from wardgate.hold.commitment.service import Service
from wardgate.hold.fragments import COMMAND, fragment_size, fragments
from wardgate.hold.gather import Gather
from wardgate.hold.header import Header
from wardgate.hold.hearing import heard
from wardgate.hold.memory import Pair
from wardgate.hold.row import Carried, Row
from wardgate.hold.scp import What
from wardgate.hold.space import STEP_BYTES
from wardgate.hold.wrap import WrapError
from wardgate.policy.model import Direction
from wardgate.relay.failing import cause_of
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.relay.nobody import NOBODY
from wardgate.relay.phase import Phase
from wardgate.relay.refused import NotAccepted
from wardgate.relay.stores import Store
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.machine import Effect, Event
from wardgate.upperlayer.pdu import Abort, AssociateRQ, accepted_contexts
from wardgate.upperlayer.table import State as Sta
from wardgate.upperlayer.terms import AbortReason, AbortSource

if TYPE_CHECKING:
    from wardgate.hold.keeper import Keeper
    from wardgate.hold.store import Body, Entry
    from wardgate.policy.model import Party
    from wardgate.relay.association import Association
    from wardgate.relay.ledger import Ledger
    from wardgate.upperlayer.walker import Sink

MAX_PENDING: Final = 16  # instances being made durable; a peer without asynchronous window has one
_RELEASE_RP: Final = bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0))
_LATE: Final = {Phase.ESTABLISHED: Code.IDLE, Phase.RELEASING: Code.RELEASE_LATE, Phase.ENDING: Code.RELEASE_LATE}


class TooManyPending(Exception):
    """More C-STOREs without a response than we follow."""

    code = Code.TOO_MANY_STORES


class Incoming:
    """One C-STORE: what comes of its data set goes into `body`, or nowhere when `refusal` says why."""

    __slots__ = ("body", "carried", "context", "entry", "gather", "refusal", "reply", "reserved", "store", "verdict")

    def __init__(self, context: int, verdict: scp.Verdict, store: Store, gather: Gather) -> None:
        self.context = context
        self.verdict = verdict
        self.store = store
        self.gather = gather
        self.body: Body | None = None
        self.carried: Carried | None = None  # the record that is written with the instance
        self.entry: Entry | None = None  # of the queue, when it is durable
        self.refusal = ""
        self.reply = b""  # the PDU of the C-STORE-RSP that says: stored
        self.reserved = 0


class HeldAssociation:
    """From the A-ASSOCIATE-AC of the box to the last byte. Follows the walker, owns the leg. Every call is on the loop's thread."""

    def __init__(self, a: Association, ledger: Ledger, keeper: Keeper, request: AssociateRQ, choices: list[offer.Choice]) -> None:
        assert a.callee is not None
        self.gate = a.gate
        self.keeper = keeper
        self.host = a.host
        self.acceptor = a.acceptor
        self.ledger = Row(ledger, keeper.lag, self._release_if_done)
        self.titles = a.titles
        self.link = a.link
        self.caller: Party = a.caller
        self.callee: Party | None = None  # nobody was called: a token of the destination does not matter here
        self.opening = None
        self._destination = a.callee.name
        self.phase = Phase.ESTABLISHED
        self.deadline = 0.0
        self._machine = a.machines[Side.ACCEPTOR]
        self._walker = a.out.walker
        self._calling, self._called = request.calling_ae.strip(), request.called_ae.strip()
        self._pair = Pair(self.link.name, self._destination, self._calling, self._called)
        self._fragment = fragment_size(request.maximum_length)
        self._began = self.gate.loop.now
        self._current: Incoming | None = None  # whose data set comes
        self._reply: tuple[int, bytes] | None = None  # goes out behind a data set that is thrown away
        self._pending = 0
        self._ended = ""
        self._release_asked = False
        reports = a.direction is Direction.TO_MODALITY
        ac = offer.answer(request, choices, reports)
        self._contexts = accepted_contexts(request, ac)
        self._service: Service | None = None
        if any(accepted[0] == COMMITMENT for accepted in self._contexts.values()):
            pair = Pair(self.link.name, a.caller.name, self._called, self._calling) if reports else self._pair
            self._service = Service(self, keeper.post(), pair, a.direction)
        a.acceptor.owner = self
        a.acceptor.other = self
        a.acceptor.answers_itself = True
        self._walker.follow(self)
        a.hand_over()
        self.gate.associations.add(self)
        self.gate.links[self.link.name].associations += 1
        self._machine.handle(Event.ACCEPT_RESPONSE)
        self._enter(Phase.ESTABLISHED, self.gate.limits.idle_seconds)
        self.gate.event(Code.HOLD_BEGAN, self.titles, link=self.link.name, contexts=len(self._contexts))
        self.acceptor.send(ac.encode())

    # --- what the worker asks

    def tick(self, now: float) -> None:
        """End what took too long."""
        if self.acceptor.channel is not None and self.acceptor.channel.talks:
            self.acceptor.tick()
        if now < self.deadline or self._pending:
            return
        moved, self.acceptor.fed = self.acceptor.fed, False
        if self.phase is Phase.ESTABLISHED and moved:
            self.deadline = now + self.gate.limits.idle_seconds
        elif self.phase is Phase.ENDING:
            self._over("released")
        elif self.phase is not Phase.OVER:
            self.fail(_LATE[self.phase], None, waited_for=self.phase.value)

    def fail(
        self, code: Code, at: Leg | None, reason: AbortReason = AbortReason.NOT_SPECIFIED, dead: bool = False, **fields: object
    ) -> None:
        """Abort (PS3.8 A-P-ABORT) for `code`. Nothing is sent on a `dead` leg."""
        if self._ended:
            return
        self.gate.event(code, self.titles, link=self.link.name, phase=self.phase.value, at=self.acceptor.address, **fields)
        leg = self.acceptor
        if leg.state is State.OPEN:
            if dead:
                leg.close()
            elif self._machine.state not in (Sta.Sta1, Sta.Sta13):
                self._machine.handle(Event.ABORT_REQUEST)
                leg.send(Abort(AbortSource.PROVIDER, reason).encode())
                leg.part()
        self._over(str(code))

    def pause(self, why: Pause) -> None:
        """The caller does not read what it is told: nothing is read from it either. With ISCL it has to ask for what it reads."""
        if self.acceptor.channel is None or not self.acceptor.channel.talks:
            self.acceptor.pause(why)

    def resume(self, why: Pause) -> None:
        """It reads again."""
        self.acceptor.resume(why)

    # --- what the walker tells

    def passes(self, data: memoryview) -> None:
        """P-DATA-TF bytes that went by: nothing passes on."""

    def long_pdu(self, length: int) -> None:
        """The walker of a held association has no receiver that announced less."""

    def control(self, pdu: bytes) -> None:
        """A PDU that is not P-DATA-TF."""
        decoded, effects = heard(self._machine, pdu)
        if isinstance(decoded, Abort):
            self.gate.event(Code.PEER_ABORTED, self.titles, link=self.link.name, side=Side.ACCEPTOR.value, source=pdu[8], reason=pdu[9])
            self.acceptor.finish(close_notify=True)
            self._over(str(Code.PEER_ABORTED))
        elif Effect.INDICATE_RELEASE in effects:
            if self._walker.expects_data:  # answered, it would close the log before what came has its record
                raise PduError(0, "9.2", "A-RELEASE-RQ inside a data set", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
            self._release_asked = True
            self._enter(Phase.RELEASING, self.gate.limits.release_seconds)
            self._release_if_done()

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set came."""
        accepted = self._contexts.get(context)
        if self._release_asked:
            raise PduError(0, "9.2", "P-DATA-TF after the release request", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
        if accepted is None or self._ended:
            raise NotAccepted(f"context {context}")
        if self._service is not None and accepted[0] == COMMITMENT:
            return self._service.command(context, command)
        verdict = scp.judge(accepted[0], command)
        self._walker.expects_data = verdict.command.has_data_set
        if verdict.what is What.STORE:
            return self._begin(context, accepted, verdict, bytes(command))
        if verdict.what is What.REFUSE:
            self.gate.event(Code.HOLD_SERVICE_REFUSED, self.titles, link=self.link.name, request=verdict.command.name)
        if verdict.reply:
            if verdict.command.has_data_set:
                self._reply = (context, verdict.reply)
            else:
                self._say(context, verdict.reply)
        return None

    def data_set(self, context: int, length: int) -> None:
        """The data set of the last command is whole."""
        if self._reply is not None:
            reply, self._reply = self._reply, None
            self._say(*reply)
        if self._service is not None and self._service.data_set(context, self._contexts[context][1]):
            return
        incoming, self._current = self._current, None
        if incoming is None:
            return
        incoming.store.length = length
        incoming.store.whole = True
        self._pending += 1
        self.acceptor.pause(Pause.RECORD)
        carries = self._pending == 1 and self.gate.hold_responses and incoming.body is not None and self.ledger.free()
        incoming.gather.end(lambda entry, error: self._kept(incoming, entry, error), (lambda: self._carry(incoming)) if carries else None)
        self._promise(incoming, 0)  # from here on the disk is at work
        incoming.reply = fragments(incoming.context, COMMAND, scp.stored(incoming.verdict.command), self._fragment)

    # --- one instance

    def _begin(self, context: int, accepted: tuple[str, str], verdict: scp.Verdict, raw: bytes) -> Sink:
        if self._pending >= MAX_PENDING:
            raise TooManyPending(f"{self._pending} instances are being made durable")
        gather = Gather(self.keeper.store, self.keeper.pots, self.keeper.beside, self._full, self._landed)
        incoming = self._current = Incoming(context, verdict, Store(verdict.command, context, accepted[1], gather), gather)
        if not self.keeper.room():
            incoming.refusal = "no room in the queue"
        elif not self.ledger.room(self._pending):
            self._promise(incoming, 0, STEP_BYTES)
            incoming.refusal = "no room in the custody log"
        else:
            incoming.reserved = STEP_BYTES
            self._open(incoming, accepted, raw)
        return gather.update

    def _open(self, incoming: Incoming, accepted: tuple[str, str], raw: bytes) -> None:
        command = incoming.verdict.command
        time_ns, _quality = self.gate.clock.now()
        header = Header(
            self.gate.config.box.name, self.link.name, self._destination, self._calling, self._called, accepted[0], accepted[1],
            command.sop_class, command.sop_instance, raw.hex(), self.ledger.association.hex(), time_ns, "", "",
        )  # fmt: skip
        try:
            incoming.body = self.keeper.begin(header, self._landed)
        except (OSError, WrapError) as error:
            incoming.refusal = "the instance could not be written"
            code = Code.HOLD_KEY if isinstance(error, WrapError) else Code.HOLD_WRITE_FAILED
            self.gate.event(code, self.titles, link=self.link.name, detail=error)
        else:
            incoming.gather.into(incoming.body)

    def _full(self) -> None:
        """As much came as is handed over at once."""
        incoming = self._current
        assert incoming is not None
        if incoming.body is not None and incoming.gather.received > incoming.reserved:
            self._grow(incoming)
        if incoming.gather.behind():
            self.acceptor.pause(Pause.DISK)

    def _grow(self, incoming: Incoming) -> None:
        """The instance is longer than what was reserved for it."""
        if self.keeper.room():
            incoming.reserved += STEP_BYTES
            self.keeper.space.used(STEP_BYTES)  # of the step before: those bytes are on the disk now
        else:
            incoming.gather.drop()
            incoming.body = None
            incoming.refusal = "no room in the queue"

    def _promise(self, incoming: Incoming, left: int, held: int = 0) -> None:
        """Give back what is reserved and not needed any more."""
        self.keeper.space.used(held or (STEP_BYTES if incoming.reserved else 0))
        incoming.reserved = left

    def _landed(self) -> None:
        """The disk has taken a piece."""
        self.acceptor.resume(Pause.DISK)

    def _carry(self, incoming: Incoming) -> bytes:
        """Return the text of the record that the instance is to carry."""
        incoming.carried = self.ledger.carry(incoming.store, scp.SUCCESS, Outcome.STATUS, SentBy.ACCEPTOR)
        return incoming.carried.text

    def _kept(self, incoming: Incoming, entry: Entry | None, error: Exception | None) -> None:
        """The instance is durable, or nothing is left of it."""
        incoming.entry = entry
        if error is not None:
            self.gate.event(Code.HOLD_WRITE_FAILED, self.titles, link=self.link.name, detail=error)
            incoming.refusal = "the instance could not be made durable"
        if entry is None:
            self._refuse(incoming)
            return
        if incoming.carried is not None:
            self.ledger.durable(incoming.carried, lambda: self._stored(incoming), lambda logged: self._logged(incoming, logged))
            return
        self.ledger.store(
            incoming.store, scp.SUCCESS, Outcome.STATUS, SentBy.ACCEPTOR, lambda durable: self._recorded(incoming, durable), alone=True
        )

    def _recorded(self, incoming: Incoming, durable: bool) -> None:
        if durable:
            self._stored(incoming)
            self._logged(incoming, True)
        else:
            self.gate.links[self.link.name].not_stored += 1
            self.gate.event(Code.RECORD_FAILED, self.titles, link=self.link.name, instance=incoming.store.instance, holder="nobody")
            assert incoming.body is not None
            self.keeper.take_back(incoming.body)
            if self._speaks:
                self.ledger.told(incoming.store, scp.OUT_OF_RESOURCES, Code.RECORD_FAILED, SentBy.ACCEPTOR)
            self._say(incoming.context, scp.no_room(incoming.verdict.command, "no custody record"))
            self._done()

    def _stored(self, incoming: Incoming) -> None:
        """Instance and record are durable: say so."""
        counters = self.gate.links[self.link.name]
        if self._speaks:
            self.acceptor.send(incoming.reply)
        counters.instances += 1
        counters.bytes += incoming.store.length
        self.keeper.held += 1
        self._done()

    def _logged(self, incoming: Incoming, logged: bool) -> None:
        """The custody log has its record: it may be forwarded. If it will never have it, the forwarder finds that out."""
        assert incoming.entry is not None
        if logged:
            self.keeper.poke(incoming.entry, self._pair, *self._contexts[incoming.context])
        self.keeper.prepare()

    def _refuse(self, incoming: Incoming) -> None:
        """Answer A700; its record waits for nothing."""
        self.gate.links[self.link.name].not_stored += 1
        refused = (incoming.store, scp.OUT_OF_RESOURCES, Outcome.STATUS, SentBy.ACCEPTOR)
        if incoming.carried is not None:
            self.ledger.replace(incoming.carried, *refused)
        else:
            self.ledger.store(*refused, _nobody_waits)
        self._say(incoming.context, scp.no_room(incoming.verdict.command, incoming.refusal))
        self._done()

    def _done(self) -> None:
        self._pending -= 1
        if self._pending:
            return
        if self._ended:
            self._finish()
            return
        self.acceptor.resume(Pause.RECORD)
        self._release_if_done()

    @property
    def _speaks(self) -> bool:
        """Does the caller hear us?"""
        return not self._ended and self.acceptor.state is State.OPEN

    def _say(self, context: int, command: bytes, data: bytes | None = None) -> None:
        if self._speaks:
            self.acceptor.send(fragments(context, COMMAND, command, self._fragment))
            if data is not None:
                self.acceptor.send(fragments(context, 0, data, self._fragment))

    # --- what the storage commitment service asks

    @property
    def established(self) -> bool:
        """May something be said that the caller has not asked for?"""
        return self.phase is Phase.ESTABLISHED and not self._release_asked and not self._ended and self.acceptor.state is State.OPEN

    def say(self, context: int, command: bytes, data: bytes | None = None) -> None:
        """Send a message."""
        self._say(context, command, data)

    def expects_data(self, follows: bool) -> None:
        """A data set follows the command set that came."""
        self._walker.expects_data = follows

    def transfer_syntax(self, context: int) -> str:
        """Return that of a context."""
        return self._contexts[context][1]

    def more_pending(self) -> None:
        """Something is on its way to the disk: nothing is read meanwhile."""
        self._pending += 1
        self.acceptor.pause(Pause.RECORD)

    def less_pending(self) -> None:
        """It is there."""
        self._done()

    # --- the end

    def _release_if_done(self) -> None:
        if not self._release_asked or self._pending or self.ledger.waits or self._machine.state is not Sta.Sta8:
            return
        self._machine.handle(Event.RELEASE_RESPONSE)
        self.acceptor.send(_RELEASE_RP)
        self.gate.event(
            Code.ASSOCIATION_ENDED, self.titles, link=self.link.name, how="released", stores=self.ledger.stores,
            seconds=f"{self.gate.loop.now - self._began:.1f}",
        )  # fmt: skip
        self.ledger.end("released")
        self._enter(Phase.ENDING, self.gate.limits.release_seconds)

    def _over(self, ended: str) -> None:
        """Nothing more is said; the last entry follows when what is being made durable is."""
        if self._ended:
            return
        self._ended = ended
        self.phase = Phase.OVER
        self._walker.follow(NOBODY)  # the read that ended it may go on
        incoming, self._current = self._current, None
        if incoming is not None:  # its data set was cut
            incoming.store.length = self._walker.received
            self._promise(incoming, 0)
            incoming.gather.cut()
            self.gate.links[self.link.name].not_stored += 1
            self.ledger.store(incoming.store, None, Outcome.ABORTED, SentBy.ACCEPTOR, _nobody_waits)
        if not self._pending:
            self._finish()

    def _finish(self) -> None:
        if self._service is not None:
            self._service.end()
        self.ledger.end(self._ended)
        if self.acceptor.state is not State.PARTING:
            self.acceptor.close()
        gate = self.gate
        gate.associations.discard(self)
        gate.ended += 1
        gate.census.left(self.host, silent=False)
        gate.links[self.link.name].now -= 1

    # --- what the leg tells

    def connected(self, leg: Leg) -> None:
        """Never: the caller connected to us."""

    def handshake_bytes(self, leg: Leg, data: bytes) -> None:
        """Never: the handshake is over."""

    def lost(self, leg: Leg, reason: str) -> None:
        """The connection ended."""
        if self._ended:
            leg.close()
        elif self._machine.state in (Sta.Sta13, Sta.Sta1):
            leg.finish(close_notify=self._machine.state is Sta.Sta13)
            self._over("released")
        else:
            truncated = leg.channel.truncated_code if leg.truncated and leg.channel is not None else Code.LEG_LOST
            self.fail(truncated, leg, dead=True, detail=reason)

    def broken(self, leg: Leg, error: Exception) -> None:
        """The caller sent what ends the association, or a defect of ours did."""
        if self._ended:
            return
        if self.phase is Phase.ENDING:
            self._over("released")
            return
        code, reason, fields = cause_of(error)
        self.fail(code, leg, reason, **fields)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.gate.loop.now + seconds


def _nobody_waits(_durable: bool) -> None:
    """A record that no response waits for."""
