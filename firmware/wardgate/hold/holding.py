"""What an application entity that holds instances does with their SOP Instance Status: PS3.15 A.1.1 a to f by the table. Sans-IO.

The bytes in the queue are those that came. What the box makes of an instance is a *claim* beside them; it enters the four attributes of
group 0100 only when the instance leaves, by the `dataset` edit.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from wardgate.custody.status import After, Event, State, Status, Where, decide, read
from wardgate.edit.dataset import COMMENT, DATE_TIME, EQUIPMENT, STATUS, Values

MAX_COMMENT: Final = 1024  # of the 10240 characters of an LT


class Claim(NamedTuple):
    """What the box holds. `since`: DT (UTC) when the status became valid; `by`: certificate of who authorized it, SHA-256, hex."""

    state: State
    since: str = ""
    by: str = ""
    comment: str = ""

    def encode(self) -> dict[str, Any]:
        """Return plain data for the notes of the queue."""
        return {**self._asdict(), "state": self.state.name}


def decode(data: dict[str, Any]) -> Claim:
    """Return the claim in `data`. Raises `KeyError`, `TypeError`, `ValueError`."""
    return Claim(State[data["state"]], str(data["since"]), str(data["by"]), str(data["comment"]))


def date_time(time_ns: int) -> str:
    """Return a DT value in UTC (PS3.5 6.2), of a UTC time."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(time_ns // 1_000_000_000)) + f".{time_ns // 1000 % 1_000_000:06d}+0000"


RECEIVED: Final = (State.RECEIVED_OR, State.RECEIVED_AO)
_RECEIVE: Final = {
    Status.NS: Event.RECEIVE_NS,
    Status.OR: Event.RECEIVE_OR_INSIDE,
    Status.AO: Event.RECEIVE_AO_INSIDE,
    Status.AC: Event.RECEIVE_AC_INSIDE,
}


def arrived(came: Values, creating: bool, time_ns: int, inside: bool = False) -> Claim:
    """Return what the box holds of an instance. `inside`: over a secure transport from one that conforms: what it says (rules d, e).

    Else NS (rule f), or, as creating entity, OR (rule a).

    The creating entity takes what its modality calls OR or nothing; AO and AC are claims that nobody can vouch for, so they are NS.
    """
    status = read(came.get(STATUS))
    if inside and status is not None:
        return Claim(decide(State.NONE, _RECEIVE[status], Where.HOLD).state)
    if creating and status in (Status.NS, Status.OR):
        return Claim(decide(State.NONE, Event.CREATE, Where.HOLD).state, date_time(time_ns))
    return Claim(decide(State.NONE, Event.RECEIVE_OUTSIDE, Where.HOLD).state)


class Leaving(NamedTuple):
    """How an instance leaves: the status that it carries, and what it is here afterwards."""

    status: Status
    state: State
    rule: str


def leaving(claim: Claim, inside: bool) -> Leaving:
    """Return how an instance goes out. `inside`: secure transport, both sides authenticated and known to conform. Raises `NotPermitted`."""
    if not inside:
        event = Event.SEND_OUTSIDE
    elif claim.state in (State.OR, State.AO):
        event = Event.TRANSFER_INSIDE
    else:
        event = Event.COPY_INSIDE
    cell = decide(claim.state, event, Where.HOLD)
    assert cell.copy is not None
    return Leaving(cell.copy, cell.state, cell.rule)


def values(came: Values, status: Status, claim: Claim, certification: str) -> Values:
    """Return what stands in the four attributes when it leaves as `status`. What reads NS already stays as it came."""
    if status is Status.NS:
        return came if read(came.get(STATUS)) is Status.NS else {STATUS: Status.NS.value}
    if not claim.since and read(came.get(STATUS)) is status:  # somebody else's claim, passed on as it came
        return came
    wanted = {**came, STATUS: status.value}
    if claim.since:
        wanted[DATE_TIME] = claim.since.encode("ascii")
        wanted.pop(COMMENT, None)
        if certification:
            wanted[EQUIPMENT] = certification.encode("ascii")
    if claim.comment:
        wanted[COMMENT] = claim.comment.encode("ascii")
    return wanted


def authorized(claim: Claim, time_ns: int, by: str, comment: str) -> Claim:
    """Return the claim after an authorized entity has certified it (rule b). Raises `NotPermitted`."""
    return Claim(decide(claim.state, Event.AUTHORIZE, Where.HOLD).state, date_time(time_ns), by, comment[:MAX_COMMENT])


def taken_over(claim: Claim) -> Claim:
    """Return the claim after the box has told who sent it that it is committed: the box is its holder (rule d). Raises `NotPermitted`."""
    return claim._replace(state=decide(claim.state, Event.WE_COMMITTED, Where.HOLD).state)


def pending(claim: Claim) -> Claim:
    """Return the claim after the other entity has answered the transfer, and before it has committed (rule d). Raises `NotPermitted`."""
    return claim._replace(state=decide(claim.state, Event.TRANSFER_INSIDE, Where.HOLD).state)


def committed(claim: Claim, after: After) -> Claim:
    """Return the claim after the new holder has reported success (rule d); an OR that may not be AC is NS. Raises `NotPermitted`."""
    if after is After.AC and claim.state is not State.AO_PENDING:
        after = After.NS
    return claim._replace(state=decide(claim.state, Event.COMMITTED, Where.HOLD, after).state)


def not_committed(claim: Claim) -> Claim:
    """Return the claim after a report of failure, or none at all: the box is still the holder. Raises `NotPermitted`."""
    return claim._replace(state=decide(claim.state, Event.NOT_COMMITTED, Where.HOLD).state)


def removable(claim: Claim) -> None:
    """Raise `NotPermitted` when the holder must not delete it (rule c)."""
    decide(claim.state, Event.DELETE, Where.HOLD)
