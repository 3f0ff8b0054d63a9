"""An association that the forwarder opens: connection, TLS, open entry, A-ASSOCIATE, release, and every way in which it can end.

What is said on it is the subclass's. It owns the leg and follows its walker. Every call is on the loop's thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Leg as LegScope
from wardgate.custody.record import Scope
from wardgate.custody.wire import Status
from wardgate.hold.fragments import fragment_size
from wardgate.hold.hearing import heard
from wardgate.hold.offer import user_information
from wardgate.relay.defects import traceback_of
from wardgate.relay.ledger import Ledger
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.relay.nobody import NOBODY
from wardgate.relay.phase import Phase
from wardgate.relay.secure import Handshake
from wardgate.relay.tokens import Out
from wardgate.upperlayer.errors import LocalError
from wardgate.upperlayer.machine import Effect, Event, Role, UpperLayer
from wardgate.upperlayer.pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ, ReleaseRQ, accepted_contexts
from wardgate.upperlayer.table import State as Sta
from wardgate.upperlayer.terms import AbortReason, AbortSource
from wardgate.upperlayer.walker import Walker

if TYPE_CHECKING:
    from wardgate.policy.model import Direction, Link, Party
    from wardgate.relay.gate import Gate
    from wardgate.transport.context import ProfiledContext
    from wardgate.transport.peer import PeerIdentity
    from wardgate.upperlayer.items import PresentationContextRQ
    from wardgate.upperlayer.userinfo import UserInformation
    from wardgate.upperlayer.walker import Sink

_RELEASE_RQ: Final = bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0))
_RELEASE_RP: Final = bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0))
_LATE: Final = {
    Phase.OPENING: Code.CONNECT_LATE,
    Phase.SHAKING: Code.HANDSHAKE_LATE,
    Phase.ANSWER: Code.ANSWER_LATE,
    Phase.ESTABLISHED: Code.IDLE,
    Phase.RELEASING: Code.RELEASE_LATE,
    Phase.ENDING: Code.RELEASE_LATE,
}


class Calling:
    """From the connection to the last byte, as association requestor. `called` is an AE title of `party`."""

    def __init__(self, gate: Gate, link: Link, party: Party, calling: str, called: str, direction: Direction) -> None:
        self.gate = gate
        self.link = link
        self.party = party
        self.called = called
        self.calling = calling
        self.titles = f"{calling}>{called}"
        self.phase = Phase.OPENING
        self.deadline = 0.0
        self.leg: Leg | None = None
        self._handshake: Handshake | None = None
        self._machine = UpperLayer(Role.REQUESTOR)
        self._request: AssociateRQ | None = None
        self._accepted: dict[int, tuple[str, str]] = {}
        self._refused: dict[int, int] = {}  # context -> result
        self._fragment = 0
        self._entry_durable = False
        self._connected = False
        self._pending = 0  # what is on its way to the disk
        self._ended = ""
        self._failed = False
        self._began = gate.loop.now
        assert party.connect is not None
        self._scope = Scope(
            gate.config.box.name, link.name, direction.value, os.urandom(16), LegScope(calling, "hold"),
            LegScope(called, party.connect.text),
        )  # fmt: skip
        self._ledger = Ledger(gate, self._scope)

    # --- what a subclass says

    def contexts(self) -> tuple[PresentationContextRQ, ...]:
        """Return what is proposed; nothing: the association is not needed any more."""
        raise NotImplementedError

    def user(self) -> UserInformation:
        """Return item 50H."""
        return user_information()

    def established(self, ac: AssociateAC) -> None:
        """The association is there."""
        raise NotImplementedError

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set came."""
        raise NotImplementedError

    def data_set(self, context: int, length: int) -> None:
        """A data set of the called side is whole."""

    def cut(self) -> None:
        """The association ends: give up what is under way."""

    def failing(self, code: Code) -> None:
        """It ends for `code`."""

    def finished(self) -> None:
        """All is over, and what had to be on the disk is."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin nothing more."""
        if self.phase is Phase.ESTABLISHED:
            self._release()
        elif self.phase not in (Phase.RELEASING, Phase.ENDING):
            self._over("stopped", failed=False)

    # --- life

    def begin(self) -> None:
        """Connect; the open entry becomes durable meanwhile."""
        self._enter(Phase.OPENING, self.gate.limits.connect_seconds)
        self._ledger.begin(self._entry_answered)
        secure = self.gate.party(self.link, self.party)
        if secure is not None:
            secure.users += 1
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
        assert self.party.connect is not None
        try:
            sock = self.gate.sockets.connect(self.party.connect)
        except OSError as error:
            self._fail(Code.CONNECT_FAILED, detail=error.strerror)
            return
        self.leg = Leg(self.gate.loop, self.gate.buffers, sock, Side.REQUESTOR, self, self.party.connect.text)
        self.leg.other = self
        self.leg.walker = Walker(self, self.gate.limits.pdu_bytes, self.gate.limits.associate_bytes)
        self._machine.handle(Event.ASSOCIATE_REQUEST)
        self.leg.watch(State.CONNECTING)

    def tick(self, now: float) -> None:
        """End what took too long."""
        leg = self.leg
        channel = leg.channel if leg is not None else None
        if leg is not None and channel is not None and channel.talks and not self._ended:
            leg.tick()
        if now < self.deadline or self._ended:
            return
        # A channel that waits for its turn has a deadline of its own.
        moved = leg is not None and (leg.fed or leg.drained or (channel is not None and channel.busy))
        if leg is not None:
            leg.fed = leg.drained = False
        if self.phase is Phase.ENDING:
            self._over("released", failed=False)
        elif self.phase is Phase.ESTABLISHED and moved:
            self.deadline = now + self.gate.limits.idle_seconds
        else:
            self._fail(_LATE[self.phase], waited_for=self.phase.value)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.gate.loop.now + seconds

    # --- connection and association

    def connected(self, leg: Leg) -> None:
        """TCP is up."""
        secure = self.gate.party(self.link, self.party)
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
        secure = self.gate.party(self.link, self.party)
        assert secure is not None
        title = self.called
        try:
            if identity is None:
                raise error if error is not None else RuntimeError("no identity")
            known = title in self.party.ae_titles or "*" in self.party.ae_titles
            secure.checker.check_ae(identity, self.party, title if known else self.party.ae_titles[0])
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
        self._scope.set_requestor(LegScope(self.called, self.leg.address, identity.fingerprint if identity else "", tls))
        self._enter(Phase.ANSWER, self.gate.limits.associate_seconds)
        self._connected = True
        self.leg.pause(Pause.EARLY)
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
        """Send the A-ASSOCIATE-RQ."""
        if not (self._connected and self._entry_durable) or self._ended:
            return
        assert self.leg is not None
        contexts = self.contexts()
        if not contexts:
            self._over("empty", failed=False)
            return
        try:
            self._request = AssociateRQ.of(self.called, self.calling, contexts, self.user())
            pdu = self._request.encode()
        except (LocalError, ValueError) as error:  # an AE title that only our own encoder minds
            self._fail(Code.WORKER_DEFECT, detail=error)
            return
        self._machine.handle(Event.TRANSPORT_CONFIRM)
        self.leg.resume(Pause.EARLY)
        self.leg.send(pdu)
        if self._handshake is not None:
            self._handshake.take_early_data()

    # --- what the walker and the leg tell

    def passes(self, data: memoryview) -> None:
        """P-DATA-TF bytes that went by."""

    def long_pdu(self, length: int) -> None:
        """Nobody announced less."""

    def pause(self, why: Pause) -> None:
        """The leg has bytes waiting."""

    def resume(self, why: Pause) -> None:
        """The leg takes bytes again."""

    def control(self, pdu: bytes) -> None:
        """A PDU that is not P-DATA-TF."""
        decoded, effects = heard(self._machine, pdu)
        if isinstance(decoded, AssociateAC):
            self._answered(decoded)
        elif isinstance(decoded, AssociateRJ):
            cause = decoded.cause.name if decoded.cause is not None else "reserved"
            self._fail(Code.PEER_REJECTED, result=decoded.result, source=decoded.source, reason=decoded.reason, cause=cause)
        elif isinstance(decoded, Abort):
            self._fail(Code.PEER_ABORTED, source=pdu[8], reason=pdu[9])
        elif isinstance(decoded, ReleaseRQ):  # the called side wants to go: let it, and come again
            assert self.leg is not None
            if self._machine.state in (Sta.Sta8, Sta.Sta9):
                self._machine.handle(Event.RELEASE_RESPONSE)
                self.leg.send(_RELEASE_RP)
            if self._machine.state is not Sta.Sta11:  # where both asked, the answer to us is still to come (PS3.8 9.2, AR-9)
                self._over("released by the peer", failed=self.busy)
        elif Effect.CONFIRM_RELEASE in effects:
            self._remember_session()
            self._over("released", failed=False)

    @property
    def busy(self) -> bool:
        """Is something under way that the called side has not answered?"""
        return False

    def _answered(self, ac: AssociateAC) -> None:
        assert self._request is not None and self.leg is not None
        self._accepted = accepted_contexts(self._request, ac)
        self._refused = {context.id: context.result for context in ac.contexts if not context.accepted}
        self._fragment = fragment_size(ac.maximum_length)
        self._enter(Phase.ESTABLISHED, self.gate.limits.idle_seconds)
        self.established(ac)

    def lost(self, leg: Leg, reason: str) -> None:
        """The connection ended."""
        if self._ended:
            leg.close()
            return
        secure = self.gate.party(self.link, self.party)
        if leg.state is State.HANDSHAKE and secure is not None:
            secure.forget()
        code = Code.CONNECT_FAILED if leg.state is State.CONNECTING else Code.LEG_LOST
        if leg.channel is not None and leg.state is State.HANDSHAKE:
            code = leg.channel.ended_early_code
        elif leg.channel is not None and leg.truncated:
            code = leg.channel.truncated_code
        self._fail(code, detail=reason)

    def broken(self, leg: Leg, error: Exception) -> None:
        """The called side sent what ends the association, or a defect of ours did."""
        if self._ended:
            return
        if getattr(error, "dead", False):  # after an integrity failure not a word more
            leg.close()
        code = Code.WORKER_DEFECT if isinstance(error, LocalError) else getattr(error, "code", Code.WORKER_DEFECT)
        where = {"where": traceback_of(error)} if code is Code.WORKER_DEFECT else {}
        self._fail(code, detail=str(error), kind=type(error).__name__, **where)

    # --- the end

    def _release(self) -> None:
        if self.phase is not Phase.ESTABLISHED or self._machine.state is not Sta.Sta6:
            return
        assert self.leg is not None
        self._enter(Phase.RELEASING, self.gate.limits.release_seconds)
        self._machine.handle(Event.RELEASE_REQUEST)
        self.leg.send(_RELEASE_RQ)

    def _abort(self) -> None:
        leg = self.leg
        if leg is not None and leg.state is State.OPEN and self._machine.state not in (Sta.Sta1, Sta.Sta4, Sta.Sta13):
            self._machine.handle(Event.ABORT_REQUEST)
            leg.send(Abort(AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED).encode())
            leg.part()

    def _fail(self, code: Code, **fields: object) -> None:
        """The association ends for `code`."""
        if self._ended:
            return
        self.failing(code)
        self.gate.event(code, self.titles, link=self.link.name, peer_name=self.party.name, phase=self.phase.value, **fields)
        self._abort()
        self._over(str(code), failed=True)

    def _over(self, ended: str, failed: bool) -> None:
        """Nothing more is sent. What is on its way to the disk goes on."""
        if self._ended:
            return
        self._ended = ended
        self.phase = Phase.OVER
        if self.leg is not None and self.leg.walker is not None:
            self.leg.walker.follow(NOBODY)  # the read that ended it may go on
        self.cut()
        if self.leg is not None and self.leg.state not in (State.PARTING, State.CLOSED):
            self.leg.finish(close_notify=True)
        self._failed |= failed
        if not self._pending:
            self._finish()

    def _settled(self) -> None:
        """One thing less is on its way to the disk."""
        self._pending -= 1
        if not self._pending and self._ended:
            self._finish()

    def _finish(self) -> None:
        self._ledger.end(self._ended)
        secure = self.gate.party(self.link, self.party)
        if secure is not None:
            secure.users -= 1
            if secure.token is not None and not secure.users:
                secure.withdraw(Out(Code.TOKEN_IS_ABSENT, "not asked yet"))
        self.finished()

    def _remember_session(self) -> None:
        secure = self.gate.party(self.link, self.party)
        if secure is not None and self.leg is not None and self.leg.channel is not None:
            secure.remember(self.leg.channel)
