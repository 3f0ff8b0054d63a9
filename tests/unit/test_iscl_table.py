"""Every cell of the ISCL state tables: each message in each state, due or not."""

from __future__ import annotations

import pytest

from support.isclkit import CLIENT, SERVER, End, pair_of
from wardgate.iscl.bodies import Codec, Value
from wardgate.iscl.errors import Condition, IsclError, LocalError, ProviderReason
from wardgate.iscl.layout import LAYOUT, Kind
from wardgate.iscl.line import Ask
from wardgate.iscl.reconstruction import R1, Reconstruction
from wardgate.iscl.settings import Settings
from wardgate.iscl.table import CONNECTION, HALF_DUPLEX, RECEIVER, SENDER, Do, Receiving, Sending, State
from wardgate.iscl.terms import SESSION_KEY, Encryption, Mac, MessageId, Method, Role

SERVER_STATES = [
    State.START,
    State.LINE_ANSWER,
    State.AUTH_ANSWER,
    State.CHALLENGING,
    State.PASS2,
    State.JUDGING,
    State.ANSWERING,
    State.COMPLETION,
    State.OPEN,
    State.CLOSING,
]
CLIENT_STATES = [
    State.START,
    State.LINE,
    State.AUTH,
    State.PASS1,
    State.DRAWING,
    State.REPLYING,
    State.PASS3,
    State.JUDGING,
    State.DERIVING,
    State.OPEN,
    State.CLOSING,
]
CELLS = [(role, state, message) for role, states in ((Role.SERVER, SERVER_STATES), (Role.CLIENT, CLIENT_STATES)) for state in states for message in MessageId]  # fmt: skip  # noqa: E501


class Step:
    """Two engines that go on by one message or one answer of a token at a time."""

    def __init__(self, role: Role, server: Settings, client: Settings) -> None:
        self.near = End(role, server if role is Role.SERVER else client)
        self.far = End(Role.CLIENT if role is Role.SERVER else Role.SERVER, client if role is Role.SERVER else server)
        self.asks: list[tuple[End, Ask]] = []
        self.wire: list[tuple[End, bytes]] = []

    def begin(self) -> None:
        for end in (self.near, self.far):
            end.engine.start(0.0)
            self.collect(end)

    def collect(self, end: End) -> None:
        self.asks += [(end, ask) for ask in end.engine.take_asked()]
        other = self.far if end is self.near else self.near
        self.wire += [(other, bytes(data)) for data in end.engine.take_output()]

    def step(self, answer_near: bool = True) -> bool:
        """Do one thing; false when nothing is left."""
        if self.wire:
            end, data = self.wire.pop(0)
            end.engine.feed(memoryview(data), 0.0)
        else:
            due = [item for item in self.asks if answer_near or item[0] is self.far]
            if not due:
                return False
            self.asks.remove(due[0])
            end, ask = due[0]
            end.engine.answer(ask, end.token.run(ask.operations), 0.0)
        self.collect(end)
        return True


def _reach(role: Role, state: State, r1: Reconstruction = R1) -> Step:
    suite = (Method.ISO_9798_4_CMAC, Encryption.AES_256_CBC, Mac.HMAC_SHA256)
    both = pair_of(*suite) if state is State.DERIVING else (SERVER._replace(r1=r1), CLIENT._replace(r1=r1))
    steps = Step(role, *both)
    if state is State.START:
        return steps
    steps.begin()
    wanted = State.OPEN if state is State.CLOSING else state
    while steps.near.engine.state is not wanted:
        assert steps.step(), f"stuck in {steps.near.engine.state}"
    if state is State.CLOSING:
        steps.near.engine.disconnect(0.0)
    assert steps.near.engine.state is state
    return steps


def _message(message: MessageId, codec: Codec) -> bytes:
    fields: dict[str, Value] = {}
    for name, kind in LAYOUT[message]:
        fields[name] = {Kind.U32: 0, Kind.EIGHT: bytes(range(8)), Kind.BYTES: b"x", Kind.REST: bytes(16)}[kind]
    return codec.encode(message, 0, **fields)  # type: ignore[arg-type]


def _codec(end: End) -> Codec:
    return end.engine._line.codec


def _not_due(end: End, message: MessageId, condition: Condition) -> None:
    with pytest.raises(IsclError) as caught:
        end.engine.feed(memoryview(_message(message, _codec(end))), 0.0)
    assert caught.value.condition is condition
    assert caught.value.provider_reason is ProviderReason.FRAMING_ERROR
    assert caught.value.to_send == b""
    assert end.engine.state is State.CLOSED
    assert not end.engine.take_output() and not end.engine.take_asked()


def _due(end: End, message: MessageId) -> None:
    """A made-up message in its place: whatever is wrong with its content, it is not wrong to come."""
    wrong: Condition | None = None
    try:
        end.engine.feed(memoryview(_message(message, _codec(end))), 0.0)
    except IsclError as error:
        wrong = error.condition
    assert wrong not in (Condition.BAD_MESSAGE_ID, Condition.THROUGH_REFUSED, Condition.RANDOM_EXPECTED)


@pytest.mark.parametrize(("role", "state", "message"), CELLS, ids=lambda value: value.name.lower())
def test_each_message_in_each_state_of_the_connection(role: Role, state: State, message: MessageId) -> None:
    end = _reach(role, state).near
    do = CONNECTION.get((state, message))
    # Between messages, the sender waits for nothing and the receiver only for a request.
    if do is None or do is Do.TO_SENDER or (do is Do.TO_RECEIVER and message is not MessageId.TRANSMISSION_REQUEST):
        _not_due(end, message, Condition.THROUGH_REFUSED if message is MessageId.THROUGH else Condition.BAD_MESSAGE_ID)
    else:
        _due(end, message)


def test_the_table_of_the_connection_has_no_cell_that_the_test_does_not_reach() -> None:
    assert {(state, message) for _role, state, message in CELLS} >= set(CONNECTION)
    assert {*SERVER_STATES, *CLIENT_STATES, State.CLOSED} == set(State)


def test_after_the_end_bytes_mean_nothing() -> None:
    steps = _reach(Role.CLIENT, State.OPEN)
    steps.near.engine.feed(memoryview(_message(MessageId.DISCONNECT_REQUEST, _codec(steps.near))), 0.0)
    assert steps.near.engine.state is State.CLOSED and steps.near.engine.ended
    steps.near.engine.take_output()
    for message in MessageId:
        steps.near.engine.feed(memoryview(_message(message, _codec(steps.near))), 0.0)
    assert not steps.near.engine.take_output()


def _sending(state: Sending, role: Role = Role.CLIENT, r1: Reconstruction = R1) -> End:
    steps = _reach(role, State.OPEN, r1)
    while steps.step(answer_near=state is not Sending.KEY):
        pass
    near = steps.near.engine
    if state is not Sending.IDLE:
        near.send(b"a message", 0.0)
        steps.collect(steps.near)
    if state is Sending.RANDOM:
        while near.sending is not Sending.RANDOM:
            assert steps.step()
    assert near.sending is state
    return steps.near


@pytest.mark.parametrize("message", [MessageId.TRANSMISSION_RESPONSE, MessageId.RANDOM_RESPONSE], ids=lambda value: value.name.lower())
@pytest.mark.parametrize("state", Sending, ids=lambda value: value.name.lower())
def test_each_answer_in_each_state_of_the_sender(state: Sending, message: MessageId) -> None:
    end = _sending(state)
    if (state, message) in SENDER:
        _due(end, message)
    else:
        _not_due(end, message, Condition.BAD_MESSAGE_ID)


@pytest.mark.parametrize("role", Role, ids=lambda value: value.name.lower())
@pytest.mark.parametrize("state", Sending, ids=lambda value: value.name.lower())
def test_each_state_of_the_sender_in_half_duplex_when_the_peer_begins_too(state: Sending, role: Role) -> None:
    end = _sending(state, role, R1._replace(half_duplex=True))
    end.engine.take_output()
    request = _codec(end).encode(MessageId.TRANSMISSION_REQUEST, encryption=Encryption.DES_CBC, key_id=SESSION_KEY, mac=Mac.MD5, length=10)
    do = HALF_DUPLEX.get(state)
    if do is None:
        with pytest.raises(IsclError) as caught:
            end.engine.feed(memoryview(request), 0.0)
        assert caught.value.condition is Condition.BAD_MESSAGE_ID
        return
    end.engine.feed(memoryview(request), 0.0)
    answered = b"".join(end.engine.take_output())
    if do is Do.COLLISION and role is Role.CLIENT:  # the TCP client wins: it hears nothing
        assert answered == b"" and end.engine.sending is Sending.RESPONSE and end.engine.receiving is Receiving.IDLE
    else:
        assert _codec(end).read_header(answered).message_id == MessageId.TRANSMISSION_RESPONSE
        assert end.engine.receiving is Receiving.RANDOM and end.engine.sending in (Sending.IDLE, Sending.KEY)


def test_the_half_duplex_table_names_every_state_in_which_the_peer_may_begin() -> None:
    assert set(HALF_DUPLEX) == set(Sending) - {Sending.RANDOM}, "once the random number is out the peer has answered and knows"


def _receiving(state: Receiving) -> Step:
    steps = _reach(Role.CLIENT, State.OPEN)
    while steps.step():
        pass
    if state is Receiving.IDLE:
        return steps
    steps.near.engine.hold(state is Receiving.HELD, 0.0)
    steps.far.engine.send(b"a message", 0.0)
    steps.collect(steps.far)
    while steps.near.engine.receiving is not state:
        assert steps.step()
    return steps


TO_RECEIVER = [message for (_, message), do in CONNECTION.items() if do is Do.TO_RECEIVER and _ is State.OPEN]


@pytest.mark.parametrize("message", TO_RECEIVER, ids=lambda value: value.name.lower())
@pytest.mark.parametrize("state", Receiving, ids=lambda value: value.name.lower())
def test_each_message_in_each_state_of_the_receiver(state: Receiving, message: MessageId) -> None:
    end = _receiving(state).near
    assert end.engine.receiving is state
    if (state, message) in RECEIVER:
        _due(end, message)
    elif state is Receiving.RANDOM and message is MessageId.DATA:
        _not_due(end, message, Condition.RANDOM_EXPECTED)
    else:
        _not_due(end, message, Condition.BAD_MESSAGE_ID)


def test_our_own_misuse_is_a_defect_of_ours() -> None:
    end = _reach(Role.CLIENT, State.PASS1).near
    with pytest.raises(LocalError):
        end.engine.send(b"x", 0.0)
    with pytest.raises(LocalError):
        end.engine.start(0.0)


def test_a_held_message_comes_when_there_is_room_again_and_our_own_pass_meanwhile() -> None:
    steps = _receiving(Receiving.HELD)
    near, far = steps.near.engine, steps.far.engine
    near.send(b"ours", 0.0)
    steps.collect(steps.near)
    while steps.step():
        pass
    assert [bytes(message) for message in far.take_messages()] == [b"ours"]
    assert near.deadline is None  # we are not waiting for the peer
    near.hold(False, 0.0)
    steps.collect(steps.near)
    while steps.step():
        pass
    assert [bytes(message) for message in near.take_messages()] == [b"a message"]
