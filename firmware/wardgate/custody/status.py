"""SOP Instance Status as a state table: PS3.15 A.1, Online Electronic Storage Secure Use Profile (edition 2026c). Sans-IO.

One instance on one link is at every moment in a `State`. An `Event` meets it and `decide` looks the cell up: the state that follows,
the status that a copy carries when it leaves, and the rule. A cell that A.1 forbids raises `NotPermitted`; so does every cell that
is not in the table: nothing is permitted by silence.

Rules a to e speak of an application entity that *holds* instances. A relay holds none: of the table only the rows with `Where.RELAY` run
there, and these are rule f (and what passes untouched because both legs are inside the profile). `Where` keeps the two apart.

What the standard leaves open, and what stands here:

* A pending transfer has no timeout. The original is kept until the success report (rule d), however late; a failure takes it back.
* Sending OR or AO back to where it came from is a transfer as any other (rule d).
* An instance that was received as OR or AO is `RECEIVED_*` until the box itself has reported it committed: neither it nor a copy leaves,
  and it cannot be authorized, because until then another entity may still be the one that holds it (rule c).
* A commitment report for an instance that is not pending changes nothing: a report that comes late or twice is harmless.
* Towards the outside the status is *set to NS* (rule f offers that, or leaving the attributes out).
* What stands in (0100,0410) and is none of the four values is taken for a claim, and set to NS outside. Absent and empty read NS.
* A box that was told OR or AO on a clear channel takes NS (rule f, receiver), before anything else looks at it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from wardgate.edit.dataset import STATUS, Values


class Status(Enum):
    """SOP Instance Status (0100,0410), PS3.3 C.12.1.1.1."""

    NS = b"NS"  # not specified
    OR = b"OR"  # original, not yet authorized for diagnosis
    AO = b"AO"  # authorized original
    AC = b"AC"  # authorized copy


class State(Enum):
    """Where one instance stands, here."""

    NONE = "not here, or deleted"
    NS = "not specified"
    OR = "original"
    AO = "authorized original"
    AC = "authorized copy"
    OR_PENDING = "original, sent and not yet committed"
    AO_PENDING = "authorized original, sent and not yet committed"
    RECEIVED_OR = "original, received and not yet committed by us"
    RECEIVED_AO = "authorized original, received and not yet committed by us"


class Event(Enum):
    """What happens to it. `..._INSIDE`: over a secure transport, both sides authenticated and known to conform; `..._OUTSIDE`: else."""

    CREATE = "created for diagnosis"
    AUTHORIZE = "certified for diagnostic use"
    TRANSFER_INSIDE = "the original goes to another holder"
    COPY_INSIDE = "a copy goes out, inside the profile"
    SEND_OUTSIDE = "it goes out, outside the profile"
    RECEIVE_NS = "arrives with NS or without status"
    RECEIVE_OR_INSIDE = "arrives as OR, inside the profile"
    RECEIVE_AO_INSIDE = "arrives as AO, inside the profile"
    RECEIVE_AC_INSIDE = "arrives as AC, inside the profile"
    RECEIVE_OUTSIDE = "arrives with any status, outside the profile"
    WE_COMMITTED = "we reported it committed to who sent it"
    COMMITTED = "the new holder reported success"
    NOT_COMMITTED = "the new holder reported failure"
    DELETE = "is to be deleted"
    PASS_INSIDE = "passes, both legs inside the profile"  # noqa: S105
    PASS_OUTSIDE = "passes, a leg outside the profile"  # noqa: S105


class After(Enum):
    """What becomes of an original that another holder has (rule d): the configuration's choice."""

    DELETE = "delete"
    NS = "NS"
    AC = "AC"  # only of AO


class Where(Enum):
    """Which links a cell is for."""

    HOLD = "hold"
    RELAY = "relay"


class Cell(NamedTuple):
    """One cell. `copy`: what leaves carries this; `None`: nothing leaves. `where`: links on which it can happen."""

    state: State
    rule: str  # of PS3.15 A.1.1
    copy: Status | None = None
    where: Where = Where.HOLD


class NotPermitted(Exception):
    """A.1 forbids it, or does not know it."""

    def __init__(self, state: State, event: Event, rule: str) -> None:
        super().__init__(f"{state.value}: {event.value}: {rule}")
        self.rule = rule


S, E = State, Event
_HELD: Final = (S.NS, S.OR, S.AO, S.AC)
_UNIQUE: Final = "A.1.1 c: exactly one entity holds it, and never deletes it"
_UNCONFIRMED: Final = "A.1.1 d: neither it nor a copy is forwarded before commitment"
_IN_TRANSFER: Final = "A.1.1 c, d: it is being transferred"

TABLE: Final[dict[tuple[State, Event], Cell]] = {
    (S.NONE, E.CREATE): Cell(S.OR, "A.1.1 a"),
    (S.OR, E.AUTHORIZE): Cell(S.AO, "A.1.1 b"),
    # rule d, sender
    (S.OR, E.TRANSFER_INSIDE): Cell(S.OR_PENDING, "A.1.1 d", Status.OR),
    (S.AO, E.TRANSFER_INSIDE): Cell(S.AO_PENDING, "A.1.1 d", Status.AO),
    (S.OR_PENDING, E.NOT_COMMITTED): Cell(S.OR, "A.1.1 d"),
    (S.AO_PENDING, E.NOT_COMMITTED): Cell(S.AO, "A.1.1 d"),
    # rule d, receiver
    (S.NONE, E.RECEIVE_OR_INSIDE): Cell(S.RECEIVED_OR, "A.1.1 d"),
    (S.NONE, E.RECEIVE_AO_INSIDE): Cell(S.RECEIVED_AO, "A.1.1 d"),
    (S.RECEIVED_OR, E.WE_COMMITTED): Cell(S.OR, "A.1.1 d"),
    (S.RECEIVED_AO, E.WE_COMMITTED): Cell(S.AO, "A.1.1 d"),
    # rule e, and what carries no claim
    (S.NONE, E.RECEIVE_AC_INSIDE): Cell(S.AC, "A.1.1 e"),
    (S.NONE, E.RECEIVE_NS): Cell(S.NS, "A.1.1 e"),
    (S.AO, E.COPY_INSIDE): Cell(S.AO, "A.1.1 e", Status.AC),
    (S.AC, E.COPY_INSIDE): Cell(S.AC, "A.1.1 e", Status.AC),
    (S.NS, E.COPY_INSIDE): Cell(S.NS, "A.1.1 e", Status.NS),
    (S.OR, E.COPY_INSIDE): Cell(S.OR, "A.1.1 c, e", Status.NS),  # AC is a copy of AO only; an original not authorized can go as NS
    # rule f
    (S.NONE, E.RECEIVE_OUTSIDE): Cell(S.NS, "A.1.1 f"),
    **{(state, E.SEND_OUTSIDE): Cell(state, "A.1.1 f", Status.NS) for state in (*_HELD, S.OR_PENDING, S.AO_PENDING)},
    # who deletes what is not an original
    (S.NS, E.DELETE): Cell(S.NONE, "A.1.1 c"),
    (S.AC, E.DELETE): Cell(S.NONE, "A.1.1 c"),
    # reports that come late or twice
    **{
        (state, event): Cell(state, "A.1.1 d: late or repeated report")
        for state in (S.NONE, *_HELD)
        for event in (E.COMMITTED, E.NOT_COMMITTED, E.WE_COMMITTED)
    },
    # relay: nothing is held, so the state is that of what passes and stays
    **{(state, E.PASS_INSIDE): Cell(state, "A.1.1 g, h", Status[state.name], Where.RELAY) for state in _HELD},
    **{(state, E.PASS_OUTSIDE): Cell(state, "A.1.1 f", Status.NS, Where.RELAY) for state in _HELD},
}

_AFTER: Final = {  # rule d: deletes, or sets NS, or (only if AO) sets AC
    (S.OR_PENDING, After.DELETE): S.NONE,
    (S.OR_PENDING, After.NS): S.NS,
    (S.AO_PENDING, After.DELETE): S.NONE,
    (S.AO_PENDING, After.NS): S.NS,
    (S.AO_PENDING, After.AC): S.AC,
}


def decide(state: State, event: Event, where: Where, after: After = After.DELETE) -> Cell:
    """Return the cell. `after` matters to the success report of a pending transfer. Raises `NotPermitted`."""
    if event is E.COMMITTED and state in (S.OR_PENDING, S.AO_PENDING) and where is Where.HOLD:
        if (state, after) not in _AFTER:
            raise NotPermitted(state, event, "A.1.1 d: only an authorized original may stay as AC")
        return Cell(_AFTER[(state, after)], "A.1.1 d")
    cell = TABLE.get((state, event))
    if cell is None or cell.where is not where:
        raise NotPermitted(state, event, _why(state, event))
    return cell


def _why(state: State, event: Event) -> str:
    if event is E.DELETE:
        return _UNIQUE
    if state in (S.RECEIVED_OR, S.RECEIVED_AO):
        return _UNCONFIRMED
    if state in (S.OR_PENDING, S.AO_PENDING):
        return _IN_TRANSFER
    return "A.1 does not provide for it"


def read(value: bytes | None) -> Status | None:
    """Return what (0100,0410) says; absent and empty read NS (PS3.3 C.12.1). `None`: none of the four values."""
    text = b"" if value is None else value.strip(b" \0")
    if not text:
        return Status.NS
    return next((status for status in Status if status.value == text), None)


def outside(values: Values) -> Values:
    """Say what the elements of an instance are that passes outside the profile (rule f), for the `dataset` edit.

    What reads NS stays as it is. A claim becomes NS, and what was said of the claim (date, comment, certificate number) goes with it.
    """
    status = read(values.get(STATUS))
    if status is Status.NS:
        return values
    state = State[status.name] if status is not None else State.OR  # an unknown value: a claim that cannot be kept either
    sent = decide(state, Event.PASS_OUTSIDE, Where.RELAY).copy
    assert sent is not None
    return {STATUS: sent.value}
