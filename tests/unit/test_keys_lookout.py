"""The key service looks for the next signature of a caller that asks alone, and leaves the processor to whoever else wants it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from wardkeys import lookout
from wardkeys.lookout import IN_TURN, LOOK_SECONDS, SLEEPS, Lookout, times_lost


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs on the machine of the test, nobody wants this processor."""
    monkeypatch.setattr(lookout, "times_lost", lambda: 5)


@pytest.fixture
def ends() -> Iterator[tuple[select.epoll, int, int]]:
    """A poll with the reading end of a pipe in it, that end, and the writing end."""
    reads, writes = os.pipe()
    poll = select.epoll()
    poll.register(reads, select.EPOLLIN)
    yield poll, reads, writes
    poll.close()
    os.close(reads)
    os.close(writes)


def _ask(looks: Lookout, fd: int, count: int = IN_TURN) -> None:
    for _ in range(count):
        looks.signed(fd)


def _yields(looks: Lookout) -> int:
    """Look for what does not come; return how often the processor was offered to others meanwhile, 0 when it did not look."""
    count = 0

    def offer() -> None:
        nonlocal count
        count += 1
        time.sleep(2 * LOOK_SECONDS / 100)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_yield", offer)
        assert looks.look() == []
    return count


def test_the_next_request_of_one_caller_is_found_without_sleep(ends: tuple[select.epoll, int, int]) -> None:
    poll, reads, writes = ends
    looks = Lookout(poll)
    _ask(looks, reads)
    os.write(writes, b"x")
    assert looks.look() == [(reads, select.EPOLLIN)]


def test_a_caller_must_have_asked_some_times_before_the_next_is_looked_for(ends: tuple[select.epoll, int, int]) -> None:
    poll, reads, _ = ends
    looks = Lookout(poll)
    _ask(looks, reads, IN_TURN - 1)
    assert _yields(looks) == 0
    looks.signed(reads)
    assert _yields(looks)


def test_callers_that_ask_in_turn_are_not_looked_for(ends: tuple[select.epoll, int, int]) -> None:
    poll, reads, writes = ends
    looks = Lookout(poll)
    for _ in range(2 * IN_TURN):
        looks.signed(reads)
        looks.signed(writes)
    assert _yields(looks) == 0


def test_one_signature_is_looked_for_once_and_who_asks_seldom_not_again(ends: tuple[select.epoll, int, int]) -> None:
    poll, reads, _ = ends
    looks = Lookout(poll)
    _ask(looks, reads)
    assert _yields(looks)
    assert _yields(looks) == 0
    looks.signed(reads)
    assert _yields(looks) == 0


def test_the_next_answers_are_slept_for_when_somebody_else_wanted_the_processor(
    ends: tuple[select.epoll, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, reads, _ = ends
    looks = Lookout(poll)
    with monkeypatch.context() as patch:
        counts = iter((5, 6))
        patch.setattr(lookout, "times_lost", lambda: next(counts))
        _ask(looks, reads)
        assert _yields(looks) == 1
    for _ in range(SLEEPS):
        looks.signed(reads)
        assert _yields(looks) == 0
    looks.signed(reads)
    assert _yields(looks)


def test_a_pause_of_the_machine_itself_does_not_end_the_look(ends: tuple[select.epoll, int, int]) -> None:
    poll, reads, _ = ends
    looks, counts = Lookout(poll), []
    for _ in range(20):  # one offer can take longer than a whole look on a busy machine
        _ask(looks, reads)
        counts.append(_yields(looks))
    assert max(counts) > 1


def test_the_kernel_counts_how_often_the_processor_went_to_another() -> None:
    places = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(places)})
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:  # on the same processor
        try:
            before, end = times_lost(), time.monotonic() + 10
            while times_lost() == before and time.monotonic() < end:
                os.sched_yield()
        finally:
            os.sched_setaffinity(0, places)
            other.kill()
        assert times_lost() > before
