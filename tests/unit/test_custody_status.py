"""The table of PS3.15 A.1, one test a cell: written down here a second time, from the rules."""

from __future__ import annotations

import pytest

from wardgate.custody.status import TABLE, After, Event, NotPermitted, State, Status, Where, decide, outside, read
from wardgate.edit.dataset import COMMENT, DATE_TIME, EQUIPMENT, STATUS

H, R = Where.HOLD, Where.RELAY

# (state, event, where, next state, status of what leaves, rule)
CELLS = """
NONE        CREATE            HOLD  OR          -  a
OR          AUTHORIZE         HOLD  AO          -  b
OR          TRANSFER_INSIDE   HOLD  OR_PENDING  OR d
AO          TRANSFER_INSIDE   HOLD  AO_PENDING  AO d
OR_PENDING  NOT_COMMITTED     HOLD  OR          -  d
AO_PENDING  NOT_COMMITTED     HOLD  AO          -  d
NONE        RECEIVE_OR_INSIDE HOLD  RECEIVED_OR -  d
NONE        RECEIVE_AO_INSIDE HOLD  RECEIVED_AO -  d
RECEIVED_OR WE_COMMITTED      HOLD  OR          -  d
RECEIVED_AO WE_COMMITTED      HOLD  AO          -  d
NONE        RECEIVE_AC_INSIDE HOLD  AC          -  e
NONE        RECEIVE_NS        HOLD  NS          -  e
AO          COPY_INSIDE       HOLD  AO          AC e
AC          COPY_INSIDE       HOLD  AC          AC e
NS          COPY_INSIDE       HOLD  NS          NS e
OR          COPY_INSIDE       HOLD  OR          NS c
NONE        RECEIVE_OUTSIDE   HOLD  NS          -  f
NS          SEND_OUTSIDE      HOLD  NS          NS f
OR          SEND_OUTSIDE      HOLD  OR          NS f
AO          SEND_OUTSIDE      HOLD  AO          NS f
AC          SEND_OUTSIDE      HOLD  AC          NS f
OR_PENDING  SEND_OUTSIDE      HOLD  OR_PENDING  NS f
AO_PENDING  SEND_OUTSIDE      HOLD  AO_PENDING  NS f
NS          DELETE            HOLD  NONE        -  c
AC          DELETE            HOLD  NONE        -  c
NONE        COMMITTED         HOLD  NONE        -  d
NONE        NOT_COMMITTED     HOLD  NONE        -  d
NONE        WE_COMMITTED      HOLD  NONE        -  d
NS          COMMITTED         HOLD  NS          -  d
NS          NOT_COMMITTED     HOLD  NS          -  d
NS          WE_COMMITTED      HOLD  NS          -  d
OR          COMMITTED         HOLD  OR          -  d
OR          NOT_COMMITTED     HOLD  OR          -  d
OR          WE_COMMITTED      HOLD  OR          -  d
AO          COMMITTED         HOLD  AO          -  d
AO          NOT_COMMITTED     HOLD  AO          -  d
AO          WE_COMMITTED      HOLD  AO          -  d
AC          COMMITTED         HOLD  AC          -  d
AC          NOT_COMMITTED     HOLD  AC          -  d
AC          WE_COMMITTED      HOLD  AC          -  d
NS          PASS_INSIDE       RELAY NS          NS g
OR          PASS_INSIDE       RELAY OR          OR g
AO          PASS_INSIDE       RELAY AO          AO g
AC          PASS_INSIDE       RELAY AC          AC g
NS          PASS_OUTSIDE      RELAY NS          NS f
OR          PASS_OUTSIDE      RELAY OR          NS f
AO          PASS_OUTSIDE      RELAY AO          NS f
AC          PASS_OUTSIDE      RELAY AC          NS f
"""
ROWS = [line.split() for line in CELLS.strip().splitlines()]
PENDING = (State.OR_PENDING, State.AO_PENDING)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_cell(row: list[str]) -> None:
    state, event, where, following, copy, rule = row
    cell = decide(State[state], Event[event], Where[where])
    assert cell.state is State[following]
    assert cell.copy is (None if copy == "-" else Status[copy])
    assert cell.rule.startswith(f"A.1.1 {rule}")


def test_no_other_cell_is_permitted() -> None:
    """Also not a cell of the other kind of link: a relay holds nothing, and what holds does not pass."""
    known = {(State[row[0]], Event[row[1]], Where[row[2]]) for row in ROWS}
    assert len(known) == len(TABLE) == len(ROWS)
    for state in State:
        for event in Event:
            for where in Where:
                if (state, event, where) in known or (event is Event.COMMITTED and state in PENDING and where is H):
                    continue
                with pytest.raises(NotPermitted):
                    decide(state, event, where)


@pytest.mark.parametrize(
    ("state", "after", "following"),
    [
        (State.OR_PENDING, After.DELETE, State.NONE),
        (State.OR_PENDING, After.NS, State.NS),
        (State.AO_PENDING, After.DELETE, State.NONE),
        (State.AO_PENDING, After.NS, State.NS),
        (State.AO_PENDING, After.AC, State.AC),
    ],
)
def test_a_success_report_ends_a_transfer_as_configured(state: State, after: After, following: State) -> None:
    cell = decide(state, Event.COMMITTED, H, after)
    assert (cell.state, cell.copy) == (following, None)


def test_an_original_that_was_never_authorized_does_not_stay_as_an_authorized_copy() -> None:
    with pytest.raises(NotPermitted, match=r"A\.1\.1 d"):
        decide(State.OR_PENDING, Event.COMMITTED, H, After.AC)


@pytest.mark.parametrize("state", [State.OR, State.AO, State.OR_PENDING, State.AO_PENDING, State.RECEIVED_OR, State.RECEIVED_AO])
def test_an_original_is_never_deleted(state: State) -> None:
    with pytest.raises(NotPermitted, match=r"A\.1\.1 c"):
        decide(state, Event.DELETE, H)


@pytest.mark.parametrize("event", [Event.TRANSFER_INSIDE, Event.COPY_INSIDE, Event.SEND_OUTSIDE, Event.AUTHORIZE])
@pytest.mark.parametrize("state", [State.RECEIVED_OR, State.RECEIVED_AO])
def test_nothing_received_is_forwarded_before_it_is_committed(state: State, event: Event) -> None:
    with pytest.raises(NotPermitted, match=r"A\.1\.1 d"):
        decide(state, event, H)


def test_at_no_time_two_entities_hold_an_original() -> None:
    """Walk a transfer from both ends: whenever the receiver holds it, the sender does not any more, or waits for exactly that report."""
    for original, event in ((State.OR, Event.RECEIVE_OR_INSIDE), (State.AO, Event.RECEIVE_AO_INSIDE)):
        sender = decide(original, Event.TRANSFER_INSIDE, H)
        receiver = decide(State.NONE, event, H)
        assert sender.state in PENDING and receiver.state not in (State.OR, State.AO)
        holder = decide(receiver.state, Event.WE_COMMITTED, H)
        assert holder.state is original
        assert decide(sender.state, Event.COMMITTED, H).state is State.NONE


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, "NS"),
        (b"", "NS"),
        (b"  ", "NS"),
        (b"NS", "NS"),
        (b"OR", "OR"),
        (b"AO", "AO"),
        (b" AC ", "AC"),
        (b"or", None),
        (b"NS\\AO", None),
    ],
)
def test_absent_and_empty_read_ns(value: bytes | None, status: str | None) -> None:
    assert read(value) is (Status[status] if status else None)


def test_outside_a_claim_becomes_ns_and_what_was_said_of_it_goes() -> None:
    companions = {DATE_TIME: b"20261122", COMMENT: b"fit ", EQUIPMENT: b"C-17"}
    for value in (b"OR", b"AO", b"AC", b"??"):
        assert outside({STATUS: value, **companions}) == {STATUS: b"NS"}
    for untouched in ({}, companions, {STATUS: b"NS", **companions}, {STATUS: b""}):
        assert outside(untouched) == untouched
