"""Who calls: its handshake, and which of the parties that may call from its address it is.

Parties behind one address share a port under mutual TLS (decision 097): the certificate must be good for one of them at least, and the
A-ASSOCIATE-RQ tells which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.policy.model import Transport
from wardgate.relay.defects import code_of
from wardgate.relay.gate import direction_of, title_of
from wardgate.relay.legstate import State
from wardgate.relay.loop import FEW_EVENTS, IN
from wardgate.relay.phase import Phase
from wardgate.relay.secure import Handshake
from wardgate.transport.errors import PeerRefused
from wardgate.upperlayer.pdu import AssociateRJ
from wardgate.upperlayer.terms import RejectCause, RejectResult

if TYPE_CHECKING:
    from wardgate.relay.association import Association
    from wardgate.relay.secure import Secured
    from wardgate.transport.peer import PeerIdentity


class Caller:
    """The calling side of one association, until its answer."""

    __slots__ = ("_a", "_gate", "handshake", "identity", "shown")

    def __init__(self, association: Association) -> None:
        self._a = association
        self._gate = association.gate
        self.handshake: Handshake | None = None
        self.identity: PeerIdentity | None = None
        self.shown: Secured | None = None  # whose certificate it is shown

    def accepted(self) -> None:
        """A connection came in on a port that has one declared transport."""
        a = self._a
        a.acceptor.listens = True
        secure = self._gate.party(a.link, a.caller)
        if secure is None:
            a.enter(Phase.REQUEST, self._gate.limits.associate_seconds)
            self._watch(State.OPEN)
            return
        parties = [party for party in (self._gate.party(*caller) for caller in a.callers) if party is not None]
        shown = next((party for party in parties if party.out is None), None)
        if shown is None:  # no key to shake hands with, so no association can exist
            assert secure.out is not None
            self.refuse(secure.out.code, detail=secure.out.detail)
            return
        self.shown = shown
        parties.remove(shown)
        parties.insert(0, shown)  # its token is the one that the handshake waits for
        a.enter(Phase.SHAKING, self._gate.limits.handshake_seconds)
        a.acceptor.channel = shown.server_channel(self._gate.many)
        self.handshake = Handshake(self._gate, a.acceptor, parties, (), self._shaken)
        if a.caller.transport is Transport.ISCL:  # there the acceptor speaks first
            a.acceptor.watch(State.HANDSHAKE)
            self.handshake.start()
        else:
            self._watch(State.HANDSHAKE)

    def _watch(self, state: State) -> None:
        """Wait for the caller's first bytes. Mostly they came right behind its connection."""
        acceptor = self._a.acceptor
        acceptor.watch(state)
        if self._gate.loop.ready <= FEW_EVENTS:  # else others come first
            acceptor.ready(IN)

    def _shaken(self, identity: PeerIdentity | None, error: Exception | None) -> None:
        a = self._a
        if identity is None:
            self.refuse(code_of(error), error)
            return
        self.identity = identity
        warn(a, identity)
        a.enter(Phase.REQUEST, self._gate.limits.associate_seconds)
        assert self.handshake is not None
        self.handshake.take_early_data()

    def choose(self, calling: str) -> None:
        """Several parties may call at this port from this address: take the one that has the AE title.

        No party has it: one that the certificate is good for, so that nobody is judged by the policy of another.
        """
        a = self._a
        found = next((one for wanted in (calling, "*") for one in a.callers if wanted in one[1].ae_titles), None)
        if found is None and self.handshake is not None:
            found = next((one for one in a.callers if self._gate.party(*one) in self.handshake.passed), None)
        if found is None:
            return
        link, party = found
        if link is not a.link:
            self._gate.links[a.link.name].now -= 1
            self._gate.links[link.name].now += 1
        a.link, a.caller = link, party
        a.direction = direction_of(party)

    def bound(self, calling: str) -> bool:
        """Is the caller's certificate bound to the AE title it uses, its chain to the root named for that? If not, it is rejected."""
        a = self._a
        secure = self._gate.party(a.link, a.caller)
        if secure is None or self.identity is None:
            return True
        assert self.handshake is not None
        try:
            identity = self.handshake.passed.get(secure)
            if identity is None:
                raise PeerRefused(Code.CERTIFICATE_WRONG_AE, f"the certificate is not good for {a.caller.name}")
            if identity is not self.identity:  # of the party that it was not told from until now
                self.identity = identity
                warn(a, identity)
            secure.checker.check_ae(identity, a.caller, title_of(a.caller, calling))
        except Exception as error:
            self._gate.event(code_of(error), a.titles, link=a.link.name, at=a.acceptor.address, detail=error)
            pdu = AssociateRJ.of(RejectResult.PERMANENT, RejectCause.CALLING_AE_NOT_RECOGNIZED).encode()
            a.reject(pdu, str(code_of(error)))
            return False
        return True

    def refuse(self, code: Code, error: Exception | None = None, detail: str = "") -> None:
        """The caller is closed before any A-ASSOCIATE was answered."""
        a = self._a
        told = {"detail": error or detail} if error is not None or detail else {}
        self._gate.event(code, a.host, link=a.link.name, at=a.acceptor.address, **told)
        self._gate.links[a.link.name].refused += 1
        a.acceptor.finish(close_notify=False)
        a.over(str(code))

    def forget(self) -> None:
        """Let go of the handshake, which holds this in turn."""
        self._a.acceptor.listens = False
        self.handshake = None


def warn(a: Association, identity: PeerIdentity | None) -> None:
    """Say what the judgement of a certificate let pass."""
    for code in identity.warnings if identity is not None else ():
        a.gate.event(code, a.titles or a.host, link=a.link.name)
