"""Who is opened with a called side at once, and who waits: no sockets, a loop whose clock and idle moments the test makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from wardgate.relay.openings import SLOW_SECONDS, Called, Openings, Place, Standing

BOUND = 4
PACS: Called = ("ct1", "10.0.0.1:104")


class StandInLoop:
    """Time, ticks and idle moments come when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self._ticks: list[Callable[[], None]] = []
        self._idle: list[Callable[[], None]] = []

    def each_tick(self, hook: Callable[[], None]) -> None:
        self._ticks.append(hook)

    def when_idle(self, function: Callable[[], None]) -> None:
        self._idle.append(function)

    def idle(self) -> None:
        idle, self._idle = self._idle, []
        for function in idle:
            function()

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        for hook in self._ticks:
            hook()


class Hall:
    """Openings of a worker, and who has begun, by name."""

    def __init__(self, bound: int = BOUND) -> None:
        self.loop = StandInLoop()
        self.openings = Openings(cast(Any, self.loop), bound)
        self.begun: list[str] = []
        self.places: dict[str, Place] = {}

    def come(self, *names: str, called: Called = PACS) -> None:
        for name in names:
            self.places[name] = self.openings.place(called, lambda name=name: self.begun.append(name))
            self.places[name].ask()

    def leave(self, *names: str) -> None:
        for name in names:
            self.places[name].leave()
        self.loop.idle()


def test_as_many_as_the_bound_begin_at_once_and_no_more() -> None:
    hall = Hall()
    hall.come(*"abcdef")
    hall.loop.idle()
    assert hall.begun == [*"abcd"]
    assert hall.openings.waiting == 2
    assert [hall.places[name].standing for name in "ae"] == [Standing.OPENING, Standing.WAITING]


def test_who_waits_begins_in_order_when_half_of_the_places_are_free() -> None:
    hall = Hall()
    hall.come(*"abcdefghi")
    hall.leave("b")
    assert hall.begun == [*"abcd"]
    hall.leave("a")
    assert hall.begun == [*"abcdef"], "as many as there are places"
    hall.leave("c", "e", "f", "d")
    assert hall.begun == [*"abcdefghi"]
    assert hall.openings.waiting == 0


@pytest.mark.parametrize("bound", [1, 2])
def test_of_one_or_two_places_each_that_is_left_lets_the_next_one_begin(bound: int) -> None:
    hall = Hall(bound)
    hall.come(*"abcdef")
    for count, name in enumerate("abcd", bound):
        assert len(hall.begun) == count
        hall.leave(name)


def test_who_comes_does_not_pass_those_who_wait() -> None:
    hall = Hall(1)
    hall.come("a", "b")
    hall.places["a"].leave()
    hall.come("c")  # the place is free, and "b" has not been called yet
    hall.loop.idle()
    assert hall.begun == ["a", "b"]


def test_what_runs_goes_first() -> None:
    hall = Hall(1)
    hall.come("a", "b")
    hall.places["a"].leave()
    assert hall.begun == ["a"], "the loop has other things to do"
    hall.loop.idle()
    assert hall.begun == ["a", "b"]


def test_who_leaves_while_it_waits_is_never_begun_and_keeps_nobody_back() -> None:
    hall = Hall()
    hall.come(*"abcdefg")
    hall.leave("e", "g")
    assert hall.begun == [*"abcd"]
    assert hall.openings.waiting == 1
    hall.leave("a", "b")
    assert hall.begun == [*"abcdf"]


def test_to_leave_twice_makes_room_for_one() -> None:
    hall = Hall()
    hall.come(*"abcdef")
    hall.leave("a")
    hall.leave("a")
    assert hall.begun == [*"abcd"], "three of four are opened still"


def test_a_called_side_that_hangs_does_not_hold_another() -> None:
    hall = Hall()
    hall.come(*"abcde")
    hall.come("other side", called=("ct1", "10.0.0.2:104"))
    hall.come("other link", called=("ct2", PACS[1]))
    assert hall.begun[4:] == ["other side", "other link"]


def test_openings_that_take_long_do_not_count_any_more() -> None:
    """Where one node of three hangs, its callers would have all places in the end."""
    hall = Hall()
    hall.come(*"abcdefghi")
    hall.loop.pass_seconds(SLOW_SECONDS - 0.1)
    hall.loop.idle()
    assert hall.begun == [*"abcd"]
    hall.leave("a", "b")
    assert hall.begun == [*"abcdef"]
    hall.loop.pass_seconds(0.2)
    hall.loop.idle()
    assert hall.begun == [*"abcdefgh"], "in the places of c and d; e and f have begun later"
    hall.leave("c", "d")
    assert hall.begun == [*"abcdefgh"], "they had no place any more"
    hall.loop.pass_seconds(SLOW_SECONDS)
    hall.loop.idle()
    assert hall.begun == [*"abcdefghi"]


def test_one_that_ends_as_it_begins_gives_its_place_back() -> None:
    """A connection that is refused at once."""
    hall = Hall(1)

    def refused(name: str) -> Callable[[], None]:
        def begin() -> None:
            hall.begun.append(name)
            hall.places[name].leave()

        return begin

    for name in "abc":
        hall.places[name] = hall.openings.place(PACS, refused(name))
        hall.places[name].ask()
    assert hall.begun == [*"abc"]
    hall.come("d", "e")
    hall.places["f"] = hall.openings.place(PACS, refused("f"))
    hall.places["f"].ask()
    hall.leave("d")
    hall.leave("e")
    hall.loop.idle()
    assert hall.begun == [*"abcdef"]
    assert hall.openings.waiting == 0


def test_a_defect_in_one_beginning_keeps_the_others_back_for_no_longer_than_a_slow_one() -> None:
    hall = Hall(1)

    def defect() -> None:
        raise RuntimeError("a defect")

    hall.come("a")
    hall.openings.place(PACS, defect).ask()
    hall.come("b")
    with pytest.raises(RuntimeError, match="a defect"):
        hall.leave("a")
    hall.loop.pass_seconds(SLOW_SECONDS)
    hall.loop.idle()
    assert hall.begun == ["a", "b"]


def test_nothing_is_kept_of_a_called_side_with_which_nothing_is_opened() -> None:
    """A caller that names the address itself could name many."""
    hall = Hall()
    for number in range(20):
        hall.come(f"{number}", called=("ct1", f"10.0.0.{number}:104"))
        hall.leave(f"{number}")
    hall.come(*"abcd")
    hall.leave("d", "a", "b", "c")
    assert not hall.openings._doors


def test_a_slow_one_that_ends_late_opens_no_door_to_more_than_the_bound() -> None:
    hall = Hall()
    hall.come("a")
    hall.loop.pass_seconds(SLOW_SECONDS)
    hall.come(*"bcde")
    hall.leave("a")
    hall.come("f")
    assert hall.begun == [*"abcde"]
