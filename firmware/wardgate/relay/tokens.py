"""What a worker does when a token goes or comes back, as the master tells it.

A party whose token is out has no TLS contexts: its server tickets died with them, its client sessions are dropped, whatever was being
opened through it ends with the code. What runs may finish, or is cut. When the token is back new contexts are built beside the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.policy.model import OnRemoval
from wardgate.relay.phase import Phase
from wardgate.token.needs import HOLD

if TYPE_CHECKING:
    from wardgate.hold.intake import HeldAssociation
    from wardgate.relay.association import Association
    from wardgate.relay.gate import Gate
    from wardgate.relay.secure import Secured

# Only a card that was taken away cuts what runs: an association needs no key any more once it is established.
_CUTS: Final = frozenset({Code.TOKEN_IS_ABSENT, Code.TOKEN_IS_ANOTHER, Code.TOKEN_IS_SWAPPED})
_RETRY_SECONDS: Final = 0.5


class Out:
    """Why a party is not served."""

    __slots__ = ("code", "detail")

    def __init__(self, code: Code, detail: str) -> None:
        self.code = code
        self.detail = detail


def outs_in(message: dict[str, Any]) -> dict[str, Out]:
    """Return who is not served, by "LINK/PARTY", of a `tokens` message: {"out": {"LINK/PARTY": ["TOKEN_IS_ABSENT", "detail"]}}."""
    found = {}
    for user, reason in message.get("out", {}).items():
        name, detail = reason
        found[user] = Out(Code.__members__.get(name, Code.TOKEN_HAS_FAILED), detail)
    return found


class Tokens:
    """Keeps the parties of a worker as the master's last word wants them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def take(self, message: dict[str, Any]) -> None:
        """Do what a `tokens` message says. It names everybody who is out; who is not named is in."""
        outs = outs_in(message)
        if self._gate.keeper is not None:
            self._gate.keeper.token(outs.get(HOLD))
        for secure in self._gate.secure.values():
            out = outs.get(secure.user)
            if out is not None:
                first, changed = secure.out is None, secure.out is None or secure.out.code is not out.code
                secure.withdraw(out)
                if changed:
                    self._gate.event(out.code, secure.user, detail=out.detail)
                if first:
                    self._end_what_opens(secure)
                if changed and out.code in _CUTS and self._gate.config.keys.on_removal is OnRemoval.CUT:
                    self._cut(secure)
            elif secure.out is not None:
                self._restore(secure)

    def _end_what_opens(self, secure: Secured) -> None:
        for association in list(self._gate.associations):
            if association.opening is not None:
                association.opening.withdrawn(secure)

    def _cut(self, secure: Secured) -> None:
        for association in list(self._gate.associations):
            if not _uses(self._gate, association, secure) or association.phase in (Phase.ENDING, Phase.OVER):
                continue
            if association.opening is None:
                association.fail(Code.TOKEN_CUT, None, token=secure.user)
            else:
                association.opening.withdrawn(secure, late=True)

    def _restore(self, secure: Secured) -> None:
        era = secure.era
        if secure.building == era:
            return
        secure.building = era

        def built(contexts: tuple[Any, Any] | None, error: Exception | None) -> None:
            secure.building = -1
            if secure.era != era:
                return  # it went again meanwhile
            if contexts is not None:
                secure.restore(*contexts)
                self._gate.event(Code.TOKEN_IS_BACK, secure.user)
                return
            self._gate.event(getattr(error, "code", Code.WORKER_DEFECT), secure.user, detail=error)
            self._gate.loop.at(_RETRY_SECONDS, lambda: self._restore(secure) if secure.era == era and secure.out is not None else None)

        self._gate.pool.submit(secure.build, built)


def _uses(gate: Gate, association: Association | HeldAssociation, secure: Secured) -> bool:
    parties = (association.caller, association.callee)
    return any(party is not None and gate.party(association.link, party) is secure for party in parties)
