"""Two state machines joined in memory, with real PDU bytes between them: every association ends, and both agree how."""

from __future__ import annotations

from collections import deque

import pytest

from support import pdu_vectors as vectors
from wardgate.upperlayer.machine import AbortSource, Effect, Event, Role, State, UpperLayer, Verdict, event_of
from wardgate.upperlayer.pdu import Abort, PduType, decode

BYTES = {
    Effect.SEND_RQ: vectors.RQ,
    Effect.SEND_AC: vectors.AC,
    Effect.SEND_RJ: vectors.RJ,
    Effect.SEND_PDATA: vectors.PDATA,
    Effect.SEND_RELEASE_RQ: vectors.RLRQ,
    Effect.SEND_RELEASE_RP: vectors.RLRP,
    Effect.SEND_ABORT_USER: Abort().encode(),
    Effect.SEND_ABORT_PROVIDER: Abort.by_provider().encode(),
}


class End:
    """One end: does the effects of its machine. `told` is what its user hears."""

    def __init__(self, role: Role, verdict: Verdict) -> None:
        self.machine = UpperLayer(role)
        self.verdict = verdict
        self.arriving: deque[bytes | None] = deque()  # PDUs on their way to this end; `None` is the close of the transport
        self.told: list[Effect] = []
        self.artim = False
        self.open = False
        self.peer: End

    def do(self, event: Event, source: AbortSource = AbortSource.USER) -> None:
        for effect in self.machine.handle(event, self.verdict, source):
            if effect in BYTES:
                self.peer.arriving.append(BYTES[effect])
            elif effect is Effect.OPEN_TRANSPORT:
                self.open = self.peer.open = True
                self.peer.do(Event.TRANSPORT_INDICATION)
                self.do(Event.TRANSPORT_CONFIRM)
            elif effect is Effect.CLOSE_TRANSPORT:
                self.open = False
                self.peer.arriving.append(None)
            elif effect in (Effect.START_ARTIM, Effect.STOP_ARTIM):
                self.artim = effect is Effect.START_ARTIM
            elif effect is not Effect.ACCEPT_TRANSPORT:  # done by whoever opened it
                self.told.append(effect)

    def take_one(self) -> bool:
        """Take what arrives next; bytes for an end that has closed are lost, as on a real connection."""
        if not self.arriving:
            return False
        data = self.arriving.popleft()
        if not self.open:
            return True
        if data is None:
            self.open = False
            self.do(Event.TRANSPORT_CLOSED)
            return True
        pdu = decode(data)
        event = event_of(data[0])
        self.do(event, AbortSource(pdu.source) if isinstance(pdu, Abort) else AbortSource.USER)
        return True


class Pair:
    """Requestor and acceptor with nothing but memory between them."""

    def __init__(self, verdict: Verdict = Verdict.ACCEPTABLE) -> None:
        self.requestor = End(Role.REQUESTOR, verdict)
        self.acceptor = End(Role.ACCEPTOR, verdict)
        self.requestor.peer, self.acceptor.peer = self.acceptor, self.requestor

    def settle(self) -> None:
        """Deliver until nothing is on its way."""
        for _ in range(100):
            if not (self.requestor.take_one() | self.acceptor.take_one()):
                return
        raise AssertionError("the two never come to rest")

    def states(self) -> tuple[State, State]:
        return self.requestor.machine.state, self.acceptor.machine.state

    def established(self) -> Pair:
        self.requestor.do(Event.ASSOCIATE_REQUEST)
        self.settle()
        self.acceptor.do(Event.ACCEPT_RESPONSE)
        self.settle()
        assert self.states() == (State.Sta6, State.Sta6)
        return self

    def assert_over(self) -> None:
        self.settle()
        assert self.states() == (State.Sta1, State.Sta1)
        assert not self.requestor.open and not self.acceptor.open
        assert not self.requestor.artim and not self.acceptor.artim


def test_association_with_data_both_ways_is_released_in_order() -> None:
    pair = Pair().established()
    pair.requestor.do(Event.PDATA_REQUEST)
    pair.acceptor.do(Event.PDATA_REQUEST)
    pair.settle()
    pair.requestor.do(Event.RELEASE_REQUEST)
    pair.settle()
    assert pair.states() == (State.Sta7, State.Sta8)
    pair.acceptor.do(Event.RELEASE_RESPONSE)
    pair.assert_over()
    assert pair.requestor.told == [Effect.CONFIRM_ACCEPT, Effect.INDICATE_PDATA, Effect.CONFIRM_RELEASE]
    assert pair.acceptor.told == [Effect.INDICATE_ASSOCIATE, Effect.INDICATE_PDATA, Effect.INDICATE_RELEASE]


def test_acceptor_may_ask_for_the_release_too() -> None:
    pair = Pair().established()
    pair.acceptor.do(Event.RELEASE_REQUEST)
    pair.settle()
    pair.requestor.do(Event.RELEASE_RESPONSE)
    pair.assert_over()


def test_data_still_passes_towards_the_side_that_asked_for_release() -> None:
    pair = Pair().established()
    pair.requestor.do(Event.RELEASE_REQUEST)
    pair.settle()
    pair.acceptor.do(Event.PDATA_REQUEST)
    pair.settle()
    assert pair.states() == (State.Sta7, State.Sta8)
    assert pair.requestor.told[-1] is Effect.INDICATE_PDATA
    pair.acceptor.do(Event.RELEASE_RESPONSE)
    pair.assert_over()


def test_release_collision_ends_with_both_sides_confirmed() -> None:
    pair = Pair().established()
    pair.requestor.do(Event.RELEASE_REQUEST)
    pair.acceptor.do(Event.RELEASE_REQUEST)
    pair.settle()
    assert pair.states() == (State.Sta9, State.Sta10)
    pair.requestor.do(Event.RELEASE_RESPONSE)
    pair.settle()
    assert pair.states() == (State.Sta11, State.Sta12)
    pair.acceptor.do(Event.RELEASE_RESPONSE)
    pair.assert_over()
    for end in (pair.requestor, pair.acceptor):
        assert end.told[-2:] == [Effect.INDICATE_RELEASE, Effect.CONFIRM_RELEASE]


def test_user_of_the_acceptor_rejects() -> None:
    pair = Pair()
    pair.requestor.do(Event.ASSOCIATE_REQUEST)
    pair.settle()
    pair.acceptor.do(Event.REJECT_RESPONSE)
    pair.assert_over()
    assert pair.requestor.told == [Effect.CONFIRM_REJECT]


def test_provider_of_the_acceptor_rejects_and_its_user_never_hears() -> None:
    pair = Pair(Verdict.NOT_ACCEPTABLE)
    pair.requestor.do(Event.ASSOCIATE_REQUEST)
    pair.assert_over()
    assert pair.requestor.told == [Effect.CONFIRM_REJECT]
    assert pair.acceptor.told == []


def reach(state: State) -> tuple[Pair, End]:
    """Bring a pair so far that one end is in `state`; return both."""
    pair = Pair()
    if state in (State.Sta3, State.Sta5):
        pair.requestor.do(Event.ASSOCIATE_REQUEST)
        pair.settle()
    elif state is State.Sta2:
        pair.requestor.do(Event.ASSOCIATE_REQUEST)
    else:
        pair.established()
        if state is not State.Sta6:
            pair.requestor.do(Event.RELEASE_REQUEST)
            if state >= State.Sta9:
                pair.acceptor.do(Event.RELEASE_REQUEST)
            pair.settle()
            if state in (State.Sta11, State.Sta12):
                pair.requestor.do(Event.RELEASE_RESPONSE)
                pair.settle()
    end = next(end for end in (pair.requestor, pair.acceptor) if end.machine.state is state)
    return pair, end


OPEN_STATES = [State(n) for n in (3, 5, 6, 7, 8, 9, 10, 11, 12)]


@pytest.mark.parametrize("state", OPEN_STATES)
def test_abort_by_the_user_in_each_state_ends_both_sides(state: State) -> None:
    pair, end = reach(state)
    end.do(Event.ABORT_REQUEST)
    assert end.machine.state is State.Sta13
    pair.assert_over()
    assert end.peer.told[-1] is Effect.INDICATE_ABORT


@pytest.mark.parametrize("state", OPEN_STATES)
def test_both_abort_at_once_in_each_state(state: State) -> None:
    pair, end = reach(state)
    end.do(Event.ABORT_REQUEST)
    end.peer.do(Event.ABORT_REQUEST)
    pair.assert_over()


@pytest.mark.parametrize("state", OPEN_STATES)
def test_bytes_that_are_no_pdu_in_each_state_end_both_sides_by_the_provider(state: State) -> None:
    pair, end = reach(state)
    end.do(Event.INVALID_PDU)
    pair.assert_over()
    assert end.told[-1] is Effect.INDICATE_P_ABORT
    assert end.peer.told[-1] is Effect.INDICATE_P_ABORT


@pytest.mark.parametrize("state", OPEN_STATES)
def test_connection_lost_in_each_state_ends_both_sides(state: State) -> None:
    pair, end = reach(state)
    end.open = end.peer.open = False
    end.do(Event.TRANSPORT_CLOSED)
    end.peer.do(Event.TRANSPORT_CLOSED)
    pair.assert_over()
    assert end.told[-1] is end.peer.told[-1] is Effect.INDICATE_P_ABORT


@pytest.mark.parametrize("state", [State.Sta2, *OPEN_STATES])
@pytest.mark.parametrize("pdu_type", PduType)
def test_every_pdu_in_each_state_leaves_two_ends_that_can_be_ended(state: State, pdu_type: PduType) -> None:
    pair, end = reach(state)
    end.do(event_of(pdu_type))
    pair.settle()
    for side in (pair.requestor, pair.acceptor):
        if side.machine.state not in (State.Sta1, State.Sta13):
            side.do(Event.ABORT_REQUEST)
            pair.settle()
    pair.assert_over()


def test_silent_caller_is_closed_when_artim_expires() -> None:
    pair = Pair()
    pair.requestor.open = pair.acceptor.open = True
    pair.acceptor.do(Event.TRANSPORT_INDICATION)
    assert pair.acceptor.artim
    pair.acceptor.do(Event.ARTIM_EXPIRED)
    assert pair.acceptor.machine.state is State.Sta1 and not pair.acceptor.open and not pair.acceptor.artim


def test_side_that_never_closes_is_closed_when_artim_expires() -> None:
    pair = Pair().established()
    pair.acceptor.do(Event.RELEASE_REQUEST)
    pair.settle()
    pair.requestor.do(Event.RELEASE_RESPONSE)
    assert pair.requestor.machine.state is State.Sta13 and pair.requestor.artim
    pair.requestor.do(Event.ARTIM_EXPIRED)
    assert pair.requestor.machine.state is State.Sta1 and not pair.requestor.open
