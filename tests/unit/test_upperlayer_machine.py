"""The state machine against PS3.8 Table 9-10, one test a cell. The table below was written from the standard, not from the code."""

from __future__ import annotations

import pytest

from wardgate.upperlayer.machine import AbortSource, Effect, EmptyCell, Event, Role, State, UpperLayer, Verdict, event_of
from wardgate.upperlayer.terms import PduType

# PS3.8 Table 9-10. Rows: Evt1 to Evt19. Columns: Sta1 to Sta13.
TABLE_9_10 = """
            Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
Evt1        AE-1  -     -     -     -     -     -     -     -     -     -     -     -
Evt2        -     -     -     AE-2  -     -     -     -     -     -     -     -     -
Evt3        -     AA-1  AA-8  -     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4        -     AA-1  AA-8  -     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5        AE-5  -     -     -     -     -     -     -     -     -     -     -     -
Evt6        -     AE-6  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7        -     -     AE-7  -     -     -     -     -     -     -     -     -     -
Evt8        -     -     AE-8  -     -     -     -     -     -     -     -     -     -
Evt9        -     -     -     -     -     DT-1  -     AR-7  -     -     -     -     -
Evt10       -     AA-1  AA-8  -     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11       -     -     -     -     -     AR-1  -     -     -     -     -     -     -
Evt12       -     AA-1  AA-8  -     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13       -     AA-1  AA-8  -     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
Evt14       -     -     -     -     -     -     -     AR-4  AR-9  -     -     AR-4  -
Evt15       -     -     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  -
Evt16       -     AA-2  AA-3  -     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17       -     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18       -     AA-2  -     -     -     -     -     -     -     -     -     -     AA-2
Evt19       -     AA-1  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""

# PS3.8 Tables 9-6 to 9-9: the effects in order, then the next state, for the usual answer to the action's question.
ACTIONS = """
AE-1  | open transport                                              | Sta4
AE-2  | send A-ASSOCIATE-RQ                                         | Sta5
AE-3  | confirm A-ASSOCIATE, accepted                               | Sta6
AE-4  | confirm A-ASSOCIATE, rejected; close transport              | Sta1
AE-5  | accept transport; start ARTIM                               | Sta2
AE-6  | stop ARTIM; indicate A-ASSOCIATE                            | Sta3
AE-7  | send A-ASSOCIATE-AC                                         | Sta6
AE-8  | send A-ASSOCIATE-RJ; start ARTIM                            | Sta13
DT-1  | send P-DATA-TF                                              | Sta6
DT-2  | indicate P-DATA                                             | Sta6
AR-1  | send A-RELEASE-RQ                                           | Sta7
AR-2  | indicate A-RELEASE                                          | Sta8
AR-3  | confirm A-RELEASE; close transport                          | Sta1
AR-4  | send A-RELEASE-RP; start ARTIM                              | Sta13
AR-5  | stop ARTIM                                                  | Sta1
AR-6  | indicate P-DATA                                             | Sta7
AR-7  | send P-DATA-TF                                              | Sta8
AR-8  | indicate A-RELEASE                                          | Sta9
AR-9  | send A-RELEASE-RP                                           | Sta11
AR-10 | confirm A-RELEASE                                           | Sta12
AA-1  | send A-ABORT, source 0; start ARTIM                         | Sta13
AA-2  | stop ARTIM; close transport                                 | Sta1
AA-3  | indicate A-ABORT; close transport                           | Sta1
AA-4  | indicate A-P-ABORT                                          | Sta1
AA-5  | stop ARTIM                                                  | Sta1
AA-6  |                                                             | Sta13
AA-7  | send A-ABORT, source 2                                      | Sta13
AA-8  | send A-ABORT, source 2; indicate A-P-ABORT; start ARTIM     | Sta13
"""

CELLS = {
    (int(row.split()[0][3:]), column): cell
    for row in TABLE_9_10.strip().splitlines()[1:]
    for column, cell in enumerate(row.split()[1:], start=1)
}
EFFECTS = {
    name.strip(): ([text.strip() for text in effects.split(";") if text.strip()], after.strip())
    for name, effects, after in (line.split("|") for line in ACTIONS.strip().splitlines())
}


def test_table_of_this_test_is_whole() -> None:
    assert len(CELLS) == 13 * 19
    assert {cell for cell in CELLS.values() if cell != "-"} == set(EFFECTS) and len(EFFECTS) == 28


@pytest.mark.parametrize("event, state", CELLS, ids=[f"Evt{event}-Sta{state}" for event, state in CELLS])
def test_cell_does_what_table_9_10_says(event: int, state: int) -> None:
    action = CELLS[event, state]
    role = Role.ACCEPTOR if event == 5 else Role.REQUESTOR
    machine = UpperLayer(role, State(state))
    if action == "-":
        with pytest.raises(EmptyCell, match=f"event {event} .* in Sta{state} "):
            machine.handle(Event(event))
        assert machine.state is State(state)
        return
    effects, after = EFFECTS[action]
    assert [effect.value for effect in machine.handle(Event(event))] == effects
    assert machine.state.name == after


def test_request_that_the_provider_cannot_accept_is_rejected_without_asking_the_user() -> None:
    machine = UpperLayer(Role.ACCEPTOR, State.Sta2)
    assert machine.handle(Event.RQ_PDU, Verdict.NOT_ACCEPTABLE) == (Effect.STOP_ARTIM, Effect.SEND_RJ, Effect.START_ARTIM)
    assert machine.state is State.Sta13


def test_release_collision_sends_the_acceptor_to_sta10() -> None:
    machine = UpperLayer(Role.ACCEPTOR, State.Sta7)
    assert machine.handle(Event.RELEASE_RQ_PDU) == (Effect.INDICATE_RELEASE,)
    assert machine.state is State.Sta10


@pytest.mark.parametrize("state", [State(n) for n in (3, 5, 6, 7, 8, 9, 10, 11, 12)])
def test_abort_by_the_provider_is_indicated_as_such(state: State) -> None:
    machine = UpperLayer(Role.REQUESTOR, state)
    assert machine.handle(Event.ABORT_PDU, abort_source=AbortSource.PROVIDER) == (Effect.INDICATE_P_ABORT, Effect.CLOSE_TRANSPORT)
    assert machine.state is State.Sta1


@pytest.mark.parametrize("event, state", [key for key, cell in CELLS.items() if cell not in ("-", "AE-6", "AR-8", "AA-3", "AE-1", "AE-5")])
def test_answers_and_roles_change_no_cell_that_does_not_ask(event: int, state: int) -> None:
    plain, other = UpperLayer(Role.REQUESTOR, State(state)), UpperLayer(Role.ACCEPTOR, State(state))
    assert plain.handle(Event(event)) == other.handle(Event(event), Verdict.NOT_ACCEPTABLE, AbortSource.PROVIDER)
    assert plain.state is other.state


@pytest.mark.parametrize("role, event", [(Role.ACCEPTOR, Event.ASSOCIATE_REQUEST), (Role.REQUESTOR, Event.TRANSPORT_INDICATION)])
def test_each_role_begins_in_its_own_way_only(role: Role, event: Event) -> None:
    with pytest.raises(EmptyCell):
        UpperLayer(role).handle(event)


def test_first_byte_of_a_pdu_tells_its_event() -> None:
    assert [event_of(kind).value for kind in PduType] == [6, 3, 4, 10, 12, 13, 16]
    assert {event_of(kind) for kind in (0, *range(8, 256))} == {Event.INVALID_PDU}


def test_every_state_with_a_connection_takes_whatever_the_peer_sends() -> None:
    from_peer = (Event.TRANSPORT_CLOSED, Event.INVALID_PDU, *map(event_of, PduType))
    for state in set(State) - {State.Sta1, State.Sta4}:
        for event in from_peer:
            UpperLayer(Role.ACCEPTOR, state).handle(event)


def test_established_is_sta6_only() -> None:
    assert [state for state in State if UpperLayer(Role.REQUESTOR, state).established] == [State.Sta6]
