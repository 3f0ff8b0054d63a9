"""How an association ends that nobody released: an A-ABORT from a peer, a connection lost, or something that ends it here.

An A-ABORT from a peer passes as it came. Everything else aborts both legs with a code (PS3.8 7.4, A-P-ABORT): the box is the provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.relay.defects import traceback_of
from wardgate.relay.legstate import State
from wardgate.relay.phase import Phase
from wardgate.upperlayer.errors import LocalError
from wardgate.upperlayer.machine import Event
from wardgate.upperlayer.pdu import Abort
from wardgate.upperlayer.table import State as Sta
from wardgate.upperlayer.terms import AbortReason, AbortSource

if TYPE_CHECKING:
    from wardgate.relay.association import Association
    from wardgate.relay.leg import Leg

_LOST: Final = (Code.LEG_LOST, Code.TLS_TRUNCATED, Code.ISCL_TRUNCATED)


def cause_of(error: Exception) -> tuple[Code, AbortReason, dict[str, Any]]:
    """Return the code of what ends an association, the reason that its A-ABORT carries, and what the log says beside the code."""
    code = Code.WORKER_DEFECT if isinstance(error, LocalError) else getattr(error, "code", Code.WORKER_DEFECT)
    reason = getattr(error, "reason", None)
    fields: dict[str, Any] = {"dead": getattr(error, "dead", False), "detail": str(error), "kind": type(error).__name__}
    if code is Code.WORKER_DEFECT:
        fields["where"] = traceback_of(error)
    return code, reason if isinstance(reason, AbortReason) else AbortReason.NOT_SPECIFIED, fields


def aborted(a: Association, leg: Leg, pdu: bytes) -> None:
    """A-ABORT came on `leg`: pass it on as it came."""
    a.gate.event(Code.PEER_ABORTED, a.titles, link=a.link.name, side=leg.side.value, at=leg.address, source=pdu[8], reason=pdu[9])
    leg.finish(close_notify=True)
    other = a.requestor if leg is a.acceptor else a.acceptor
    # PS3.8 9.2, AA-2: before the A-ASSOCIATE-RQ there is no association to abort there (Sta4), and `over` closes the connection.
    if other is not None and other.state is State.OPEN and a.machines[other.side].state is not Sta.Sta4:
        _send_abort(a, other, pdu)
    a.opened()
    a.over(str(Code.PEER_ABORTED))


def lost(a: Association, leg: Leg, reason: str) -> None:
    """The connection of `leg` ended."""
    if a.phase is Phase.OVER:
        leg.close()
        return
    if leg.state is State.CLOSED:
        return
    machine = a.machines[leg.side]
    if a.opening is not None:
        a.opening.lost(leg, reason)
        return
    if machine.state in (Sta.Sta13, Sta.Sta1):
        leg.finish(close_notify=machine.state is Sta.Sta13)
        if a.phase is Phase.ENDING:
            a.over("released")
        return
    truncated = leg.channel.truncated_code if leg.truncated and leg.channel is not None else Code.LEG_LOST
    fail(a, truncated, leg, detail=reason)


def broken(a: Association, leg: Leg, error: Exception) -> None:
    """`leg` sent something that ends the association: a PDU or command that is not permitted, a TLS record that fails."""
    if a.phase is Phase.OVER:
        return
    if a.phase is Phase.ENDING:  # whatever comes after the last PDU means nothing, and on a leg that is done not even its end
        if leg.state is State.OPEN:
            a.over("released")
        return
    if a.opening is not None and a.opening.mismatch(leg):
        return
    code, reason, fields = cause_of(error)
    fail(a, code, leg, reason, **fields)


def fail(
    a: Association, code: Code, at: Leg | None, reason: AbortReason = AbortReason.NOT_SPECIFIED, dead: bool = False, **fields: object
) -> None:
    """Abort both legs (PS3.8 A-P-ABORT) for `code`, seen on leg `at`. Nothing is sent on a `dead` leg (TLS integrity)."""
    if a.phase is Phase.OVER:
        return
    where = {} if at is None else {"side": at.side.value, "at": at.address}
    a.gate.event(code, a.titles or a.host, link=a.link.name, phase=a.phase.value, **where, **fields)
    for leg in (a.acceptor, a.requestor):
        if leg is None or leg.state is not State.OPEN:
            continue
        if leg is at and (dead or code in _LOST):
            leg.close()
        elif a.machines[leg.side].state not in (Sta.Sta1, Sta.Sta4, Sta.Sta13):
            # PS3.8 9.2: in Sta2 nobody is there yet who could be a provider's user, so the source is the user's (AA-1).
            # A user's reason is not significant, and 0 (9.3.8).
            by_user = a.machines[leg.side].state is Sta.Sta2
            why = reason if leg is at and not by_user else AbortReason.NOT_SPECIFIED
            _send_abort(a, leg, Abort(AbortSource.USER if by_user else AbortSource.PROVIDER, why).encode())
    a.opened()
    a.over(str(code))


def _send_abort(a: Association, leg: Leg, pdu: bytes) -> None:
    """End `leg` with an A-ABORT, unless it waits for the rest of a PDU: there it would be taken for data."""
    machine = a.machines[leg.side]
    if machine.state not in (Sta.Sta1, Sta.Sta2, Sta.Sta13):
        machine.handle(Event.ABORT_REQUEST)
    feeding = a.back if leg is a.acceptor else a.out
    if feeding is None or feeding.between_pdus:
        leg.send(pdu)
        leg.part()
    else:
        leg.close()
