"""The state machine of PS3.8 9.2: what an event means in a state.

An association is at every moment in one of the thirteen states of Table 9-10. Things happen to it from three sides. The
*peer* sends PDUs, good ones or ones that cannot be read. The *transport* opens, is opened, closes. Our own *user* asks to
associate, to answer, to send, to release, to abort. Each is one of nineteen events, and the table names for each event in
each state an action: effects, and the state that follows.

Here this is literally so. `table` holds Table 9-10 and the actions as data. `UpperLayer.handle` looks up the cell, changes
the state and *returns* the effects. It sends nothing, closes nothing, starts no timer and reads no clock; the caller does, in
the order given. So the same machine serves a relay, a test that joins two of them in memory, and a tool.

The table does not know who we are. It has rows for both roles, and its states tell them apart by themselves: who begins
with an associate request comes through Sta4 and Sta5, who begins with a transport indication through Sta2 and Sta3. After
that there is no difference until both sides ask to release in the same moment. Then the action (AR-8) must ask for the role:
the requestor answers first (Sta9, Sta11), the acceptor waits for that answer (Sta10, Sta12), or both would wait for ever.
Two more actions ask a question. AE-6 asks if the service provider can accept the A-ASSOCIATE-RQ (`Verdict`), AA-3 who sent the
A-ABORT (`AbortSource`). The caller answers them with the event; the answer means nothing to any other cell.

An empty cell is an event that cannot happen if we do our part: the peer can send what it likes, every PDU event has a cell
in every state in which a transport connection exists. So an empty cell is our own mistake, and raises `EmptyCell`, a `LocalError`.
It is never the peer's fault and must never be answered with an A-ABORT that claims so.

Three things that the table says and that are easy to overlook:

* In Sta2 a wrong PDU is answered with A-ABORT of source *user* and no indication (AA-1): there is no user yet who could hear it.
* The side that sends the last PDU does not close. It waits in Sta13 for the peer to close, under the ARTIM timer.
* P-DATA may still come in Sta7, and may still be sent in Sta8: a release request ends only the direction of its sender.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from wardgate.upperlayer.errors import LocalError
from wardgate.upperlayer.table import ACTIONS, TABLE, Effect, Event, State, Step
from wardgate.upperlayer.terms import AbortSource, PduType, Role

__all__ = ["AbortSource", "Effect", "EmptyCell", "Event", "Role", "State", "UpperLayer", "Verdict", "event_of"]


class Verdict(Enum):
    """May the service provider accept this A-ASSOCIATE-RQ: version, limits (AE-6). What the user thinks comes later (AE-7, AE-8)."""

    ACCEPTABLE = "acceptable"
    NOT_ACCEPTABLE = "not acceptable"


class EmptyCell(LocalError):
    """Table 9-10 has nothing for this event in this state: Wardgate did something out of order."""

    def __init__(self, event: Event, state: State, role: Role) -> None:
        super().__init__(f"event {event.value} ({event.name}) in {state.name} as {role.value}: PS3.8 Table 9-10 has no such cell")
        self.event = event
        self.state = state
        self.role = role


_EVENTS: Final = {
    int(PduType.ASSOCIATE_RQ): Event.RQ_PDU,
    int(PduType.ASSOCIATE_AC): Event.AC_PDU,
    int(PduType.ASSOCIATE_RJ): Event.RJ_PDU,
    int(PduType.P_DATA_TF): Event.PDATA_PDU,
    int(PduType.RELEASE_RQ): Event.RELEASE_RQ_PDU,
    int(PduType.RELEASE_RP): Event.RELEASE_RP_PDU,
    int(PduType.ABORT): Event.ABORT_PDU,
}


def event_of(pdu_type: int) -> Event:
    """Return the event of a PDU that came, by its first byte; a type that does not exist is an invalid PDU."""
    return _EVENTS.get(pdu_type, Event.INVALID_PDU)


# Who may begin in which way; the table alone would let one machine do both.
_BEGINS: Final = {Event.ASSOCIATE_REQUEST: Role.REQUESTOR, Event.TRANSPORT_INDICATION: Role.ACCEPTOR}
_STEPS: Final[dict[tuple[Event, State], Step]] = {
    (event, state): ACTIONS[action] for event, row in TABLE.items() for state, action in row.items()
}
_ASKS: Final = frozenset({(Event.RQ_PDU, State.Sta2), (Event.RELEASE_RQ_PDU, State.Sta7)}) | {
    (Event.ABORT_PDU, state) for state, action in TABLE[Event.ABORT_PDU].items() if action == "AA-3"
}
# What each role may do and without a question: nearly all that happens.
_PLAIN: Final[dict[Role, dict[tuple[Event, State], Step]]] = {
    role: {cell: step for cell, step in _STEPS.items() if cell not in _ASKS and _BEGINS.get(cell[0], role) is role} for role in Role
}


class UpperLayer:
    """One end of one association. `role`: did we open it, or were we called?"""

    __slots__ = ("_plain", "role", "state")

    def __init__(self, role: Role, state: State = State.Sta1) -> None:
        self.role = role
        self.state = state
        self._plain = _PLAIN[role]

    def handle(
        self, event: Event, verdict: Verdict = Verdict.ACCEPTABLE, abort_source: AbortSource = AbortSource.USER
    ) -> tuple[Effect, ...]:
        """Take one event, move to the next state and return what is to be done, in order.

        `verdict` goes with `RQ_PDU`, `abort_source` with `ABORT_PDU`. Raises `EmptyCell`, and then nothing has changed.
        """
        cell = (event, self.state)
        step = self._plain.get(cell)
        if step is None:
            if cell not in _ASKS:
                raise EmptyCell(event, self.state, self.role)
            step = self._answered(event, verdict, abort_source, _STEPS[cell])
        effects, self.state = step
        return effects

    def _answered(self, event: Event, verdict: Verdict, abort_source: AbortSource, step: Step) -> Step:
        """Choose the variant of an action that asks: AE-6, AR-8 or AA-3."""
        if event is Event.RQ_PDU:
            return step if verdict is Verdict.ACCEPTABLE else ACTIONS["AE-6 not acceptable"]
        if event is Event.RELEASE_RQ_PDU:
            return step if self.role is Role.REQUESTOR else ACTIONS["AR-8 acceptor"]
        return step if abort_source == AbortSource.USER else ACTIONS["AA-3 provider"]

    @property
    def established(self) -> bool:
        """Tell whether data may pass in both directions."""
        return self.state is State.Sta6
