"""What the supervisor decides, cell by cell: when it resets, when it must not, what it tells."""

from __future__ import annotations

import pytest

from supervisor import core as rules
from supervisor.core import Core
from wardgate.supervisor import protocol
from wardgate.supervisor.protocol import Decoder, encode, number

MINUTE = 60_000


class Bench:
    """A core with a clock; nothing is open, in or pressed unless a test says so."""

    def __init__(self) -> None:
        self.now = 0
        self.core = Core(0)
        self.inputs = [False, False, False]
        self.told: list[tuple[int, bytes]] = []
        self.pulls: list[int] = []  # when the line went down
        self._decoder = Decoder()
        self._pulled = False

    def say(self, kind: int, payload: bytes = b"") -> None:
        self.core.receive(encode(kind, payload), self.now)

    def alive(self, seconds: int = 60, serving: bool = True) -> None:
        self.say(protocol.ALIVE, number(seconds) + bytes([serving]))

    def wait(self, milliseconds: int, step: int = 10) -> None:
        end = self.now + milliseconds
        while self.now < end:
            self.now += step
            self.core.look(*self.inputs, self.now)
            self.core.tick(self.now)
            pulls = self.core.pulls(self.now)
            if pulls and not self._pulled:
                self.pulls.append(self.now)
            self._pulled = pulls
            self.told += self._decoder.feed(self.core.take_output())

    def events(self) -> list[int]:
        """What was told, each once."""
        return list({payload[:2]: payload[2] for kind, payload in self.told if kind == protocol.EVENT}.values())

    def status(self) -> bytes:
        self.told.clear()
        self.say(protocol.HELLO)
        self.wait(10)
        return next(payload for kind, payload in self.told if kind == protocol.STATUS)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_reset_before_the_box_has_said_that_it_is_alive(bench: Bench) -> None:
    bench.say(protocol.HELLO)
    bench.say(protocol.GRACE, number(10))
    bench.wait(3 * rules.HOUR, step=1000)
    assert bench.pulls == [] and bench.core.state == protocol.STATE_UNARMED


def test_a_box_that_goes_on_saying_alive_is_never_reset(bench: Bench) -> None:
    for _ in range(200):
        bench.alive(10)
        bench.wait(5000, step=100)
    assert bench.pulls == [] and bench.core.state == protocol.STATE_ARMED


def test_a_silent_box_is_reset_after_its_seconds_and_not_before(bench: Bench) -> None:
    bench.alive(60)
    bench.wait(59_990)
    assert bench.pulls == []
    bench.wait(100)
    assert bench.pulls == [60_000] and bench.core.state == protocol.STATE_STARTING


def test_one_silence_is_one_reset(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(3 * rules.HOUR, step=100)
    assert len(bench.pulls) == 1


def test_the_line_is_let_go_after_its_pulse(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(10_000)
    assert bench.core.pulls(bench.now) and bench.core.pulls(bench.now + rules.PULSE - 1)
    assert not bench.core.pulls(bench.now + rules.PULSE)


def test_what_was_said_before_the_reset_and_is_read_after_it_arms_nothing(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(10_050)
    bench.alive(10)
    assert bench.core.state == protocol.STATE_STARTING
    bench.wait(rules.DEAF)
    bench.alive(10)
    assert bench.core.state == protocol.STATE_ARMED


def test_there_are_three_resets_in_an_hour_and_a_fourth_when_the_first_is_an_hour_old(bench: Bench) -> None:
    for _ in range(4):
        bench.alive(10)
        bench.wait(MINUTE, step=100)
    assert len(bench.pulls) == rules.RESETS_AN_HOUR == 3
    assert bench.core.state == protocol.STATE_WITHHELD
    assert bench.events().count(protocol.EVENT_WITHHELD) == 1
    bench.wait(bench.pulls[0] + rules.HOUR - bench.now - 1000, step=1000)
    assert len(bench.pulls) == 3
    bench.wait(2000, step=100)
    assert len(bench.pulls) == 4


def test_a_box_whose_reset_was_withheld_and_that_speaks_again_is_armed(bench: Bench) -> None:
    for _ in range(4):
        bench.alive(10)
        bench.wait(MINUTE, step=100)
    bench.alive(60)
    assert bench.core.state == protocol.STATE_ARMED


@pytest.mark.parametrize(
    ("asked", "given"), [(0, rules.LEAST_SECONDS), (rules.LEAST_SECONDS - 1, rules.LEAST_SECONDS), (65535, rules.MOST_SECONDS)]
)
def test_the_seconds_of_alive_are_bounded_both_ways(bench: Bench, asked: int, given: int) -> None:
    bench.alive(asked)
    bench.wait(1000 * given - 10, step=10)
    assert bench.pulls == []
    bench.wait(10)
    assert bench.pulls == [1000 * given]


def test_a_box_that_goes_down_on_purpose_has_the_time_that_it_asked_for(bench: Bench) -> None:
    bench.alive(10)
    bench.say(protocol.GRACE, number(900))
    bench.wait(899_000, step=1000)
    assert bench.pulls == [] and bench.core.state == protocol.STATE_GRACE
    bench.wait(2000)
    assert len(bench.pulls) == 1


def test_grace_is_bounded(bench: Bench) -> None:
    bench.alive(10)
    bench.say(protocol.GRACE, number(65535))
    bench.wait(1000 * rules.MOST_GRACE_SECONDS + 1000, step=1000)
    assert len(bench.pulls) == 1


def test_grace_is_not_lengthened_by_asking_again(bench: Bench) -> None:
    bench.alive(10)
    for _ in range(10):
        bench.say(protocol.GRACE, number(60))
        bench.wait(10_000, step=100)
    assert len(bench.pulls) == 1


def test_alive_ends_grace(bench: Bench) -> None:
    bench.alive(10)
    bench.say(protocol.GRACE, number(900))
    bench.wait(60_000, step=100)
    bench.alive(10)
    bench.wait(11_000)
    assert len(bench.pulls) == 1


def test_grace_does_not_take_back_a_reset_or_a_withheld_one(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(15_000)
    bench.say(protocol.GRACE, number(900))
    assert bench.core.state == protocol.STATE_STARTING


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x3c", b"\x00\x3c\x01\x00"])
def test_an_alive_of_another_length_feeds_nothing(bench: Bench, payload: bytes) -> None:
    bench.say(protocol.ALIVE, payload)
    assert bench.core.state == protocol.STATE_UNARMED


def test_noise_and_unknown_frames_neither_feed_nor_stop_it(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(5000)
    bench.core.receive(b"\xff" * 5000 + b"\0\x02\0", bench.now)
    bench.core.receive(encode(protocol.ALIVE, b"\x00\x3c\x01", version=2), bench.now)
    bench.say(0x55, b"later")
    bench.wait(5100)
    assert bench.pulls == [10_000]
    assert bench.status()[3:5] == number(3)


def test_a_reset_is_told_until_the_box_has_it(bench: Bench) -> None:
    bench.alive(10)
    bench.wait(10 * MINUTE, step=100)
    times = [payload for kind, payload in bench.told if kind == protocol.EVENT]
    assert len(times) > 100 and {payload[2] for payload in times} == {protocol.EVENT_RESET}
    assert int.from_bytes(times[-1][3:], "big") > 580  # seconds ago
    bench.say(protocol.ACK, times[0][:2])
    bench.told.clear()
    bench.wait(MINUTE, step=100)
    assert bench.events() == []


def test_of_more_events_than_there_is_room_for_the_first_are_kept_and_the_rest_counted(bench: Bench) -> None:
    bench.wait(100)
    for turn in range(40):
        bench.inputs[0] = turn % 2 == 0
        bench.wait(100)
    bench.wait(10_000)
    assert len(bench.events()) == rules.MAX_EVENTS
    assert bench.events()[0] == protocol.EVENT_CARD_IN
    assert bench.status()[5] == 40 - rules.MAX_EVENTS


def test_output_that_nobody_takes_is_bounded(bench: Bench) -> None:
    for _ in range(10_000):
        bench.say(protocol.HELLO)
    assert len(bench.core.take_output()) <= rules.MAX_OUTPUT


def test_an_open_box_is_told_also_when_it_is_open_at_the_start(bench: Bench) -> None:
    bench.inputs[1] = True
    bench.wait(100)
    assert bench.events() == [protocol.EVENT_TAMPER_OPENED]
    bench.inputs[1] = False
    bench.wait(100)
    assert bench.events() == [protocol.EVENT_TAMPER_OPENED, protocol.EVENT_TAMPER_CLOSED]


def test_a_closed_box_and_a_card_that_lies_there_are_no_event_at_the_start(bench: Bench) -> None:
    bench.inputs[0] = True
    bench.wait(1000)
    assert bench.events() == []
    assert bench.status()[2] == protocol.INPUT_CARD


def test_a_contact_that_bounces_is_one_event(bench: Bench) -> None:
    bench.wait(100)
    for _ in range(10):
        bench.inputs[0] = not bench.inputs[0]
        bench.wait(20)
    bench.inputs[0] = True
    bench.wait(200)
    assert bench.events() == [protocol.EVENT_CARD_IN]


def test_a_button_is_told_once_when_it_is_held_and_not_when_it_is_bumped(bench: Bench) -> None:
    bench.wait(100)
    bench.inputs[2] = True
    bench.wait(rules.HELD - 100)
    bench.inputs[2] = False
    bench.wait(1000)
    assert bench.events() == []
    bench.inputs[2] = True
    bench.wait(3 * rules.HELD)
    assert bench.events() == [protocol.EVENT_BUTTON_HELD]
    bench.inputs[2] = False
    bench.wait(1000)
    bench.inputs[2] = True
    bench.wait(rules.HELD + 200)
    assert bench.events() == [protocol.EVENT_BUTTON_HELD] * 2


def test_a_button_that_is_down_when_power_comes_says_nothing(bench: Bench) -> None:
    bench.inputs[2] = True
    bench.wait(3 * rules.HELD)
    assert bench.events() == []


def _lights(bench: Bench) -> set[tuple[bool, bool, bool]]:
    seen = set()
    for _ in range(20):
        bench.wait(100)
        seen.add(bench.core.lights(bench.now))
    return seen


def test_each_state_has_its_lights(bench: Bench) -> None:
    assert _lights(bench) == {(True, False, False), (False, False, False)}
    bench.alive(600, serving=True)
    assert _lights(bench) == {(True, False, False)}
    bench.alive(600, serving=False)
    assert _lights(bench) == {(False, True, False)}
    bench.say(protocol.GRACE, number(60))
    assert _lights(bench) == {(False, True, False), (False, False, False)}
    for _ in range(4):
        bench.alive(10)
        bench.wait(MINUTE, step=100)
    assert bench.core.state == protocol.STATE_WITHHELD
    assert _lights(bench) == {(False, True, True), (False, False, True)}


def test_red_burns_while_the_box_is_open(bench: Bench) -> None:
    bench.alive(600)
    bench.inputs[1] = True
    bench.wait(100)
    assert _lights(bench) == {(True, False, True)}
    bench.inputs[1] = False
    bench.wait(100)
    assert _lights(bench) == {(True, False, False)}
