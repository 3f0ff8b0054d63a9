"""Work beside the loop: in order with one thread, not more threads than are needed, nothing given is forgotten."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from wardgate.hold.syncer import Syncer

SECONDS = 60.0


class Loop:
    """What a loop does with what threads bring back."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def turn(self, count: int) -> None:
        for _ in range(count):
            self.calls.get(timeout=SECONDS)()


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_one_thread_does_its_work_in_the_order_in_which_it_was_given(loop: Loop) -> None:
    syncer, done = Syncer(loop.calls.put, threads=1), list[int]()
    gate = threading.Event()
    syncer.submit(lambda: bool(gate.wait(SECONDS)), lambda _: done.append(-1))
    for number in range(50):
        syncer.submit(lambda: None, lambda _, number=number: done.append(number))  # type: ignore[misc]
    gate.set()
    loop.turn(51)
    assert done == [-1, *range(50)]
    syncer.close(SECONDS)


def test_no_more_run_at_once_than_there_may_be_and_what_came_meanwhile_is_done_after(loop: Loop) -> None:
    syncer, running, most, lock, gate = Syncer(loop.calls.put, threads=3), [0], [0], threading.Lock(), threading.Event()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(SECONDS)
        with lock:
            running[0] -= 1

    done: list[Exception | None] = []
    for _ in range(10):
        syncer.submit(work, done.append)
    gate.set()
    loop.turn(10)
    assert done == [None] * 10 and most[0] <= 3
    syncer.close(SECONDS)


def test_jobs_one_after_the_other_need_one_thread_and_wake_no_other(loop: Loop) -> None:
    syncer, names, both = Syncer(loop.calls.put), list[str](), threading.Barrier(2)
    for _ in range(2):  # two threads are there
        syncer.submit(lambda: bool(both.wait(SECONDS)), lambda _: None)
    loop.turn(2)
    for _ in range(20):
        syncer.submit(lambda: names.append(threading.current_thread().name), lambda _: None)
        loop.turn(1)
    assert len(names) == 20 and len({*names[1:]}) == 1
    syncer.close(SECONDS)


def test_an_error_of_work_or_sync_comes_back_and_the_thread_goes_on(loop: Loop) -> None:
    wrong = [True]

    def sync() -> None:
        if wrong[0]:
            raise OSError(5, "made to fail")

    syncer, told = Syncer(loop.calls.put, sync, threads=1), list[Exception | None]()
    syncer.submit(lambda: None, told.append)
    syncer.submit(lambda: None, told.append, sync=False)
    loop.turn(2)
    wrong[0] = False
    syncer.submit(lambda: None, told.append)
    loop.turn(1)
    assert isinstance(told[0], OSError) and told[1:] == [None, None]
    syncer.close(SECONDS)


def test_closing_finishes_what_was_given(loop: Loop) -> None:
    before = set(threading.enumerate())
    syncer, done, gate = Syncer(loop.calls.put, threads=1), list[int](), threading.Event()
    syncer.submit(lambda: bool(gate.wait(SECONDS)), lambda _: None)
    for number in range(5):
        syncer.submit(lambda number=number: done.append(number), lambda _: None)  # type: ignore[misc]
    threading.Timer(0.1, gate.set).start()
    syncer.close(SECONDS)
    assert done == list(range(5))
    assert not any(thread.name.startswith("hold-sync") for thread in set(threading.enumerate()) - before)
