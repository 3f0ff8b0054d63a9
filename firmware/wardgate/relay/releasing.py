"""How a release passes from one leg to the other, and how two that meet are both answered (PS3.8 9.2, AR-1 to AR-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Side
from wardgate.relay.phase import Phase
from wardgate.upperlayer.machine import Event
from wardgate.upperlayer.table import State as Sta

if TYPE_CHECKING:
    from wardgate.relay.association import Association

_DONE: Final = (Sta.Sta1, Sta.Sta13)
_RELEASE_RP: Final = bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def release_asked(a: Association, leg: Leg, pdu: bytes) -> None:
    """A-RELEASE-RQ: ask the other side; when both ask at once, each gets its answer from us (PS3.8 9.2, AR-8)."""
    other = a.across(leg)
    theirs, ours = a.machines[other.side], a.machines[leg.side]
    a.enter(Phase.RELEASING, a.gate.limits.release_seconds)
    a.moved()
    leg.listens = True
    if theirs.state is Sta.Sta6:
        theirs.handle(Event.RELEASE_REQUEST)
        a.flow_from(leg).control_send(pdu)
        return
    if ours.state is Sta.Sta9:
        ours.handle(Event.RELEASE_RESPONSE)
        leg.send(_RELEASE_RP)
    if theirs.state is Sta.Sta8:
        _respond(a, other, _RELEASE_RP)


def release_confirmed(a: Association, leg: Leg, pdu: bytes) -> None:
    """A-RELEASE-RP: the other side's request is answered."""
    leg.listens = True
    if a.machines[leg.side].state is Sta.Sta12:
        _respond(a, leg, _RELEASE_RP)
    else:
        _leg_done(a, leg)
    other = a.across(leg)
    if a.machines[other.side].state is Sta.Sta8:
        _respond(a, other, pdu)


def _respond(a: Association, leg: Leg, pdu: bytes) -> None:
    a.machines[leg.side].handle(Event.RELEASE_RESPONSE)
    a.flow_to(leg).control_send(pdu)
    _leg_done(a, leg)


def _leg_done(a: Association, leg: Leg) -> None:
    """Nothing more is said on `leg`. The one that was asked to release waits for its peer to close (AR-4), the other closes."""
    if leg is a.requestor:
        a.keep_session()
    if a.machines[leg.side].state is Sta.Sta1:
        leg.finish(close_notify=True)
    requestor = a.machines[Side.REQUESTOR].state
    if requestor in _DONE and a.machines[Side.ACCEPTOR].state in _DONE:
        a.ended("released")
        if requestor is Sta.Sta13 and a.requestor is not None:
            a.enter(Phase.ENDING, a.gate.limits.release_seconds)
        else:
            a.caller_may_close("released")
