"""The master's loop: descriptors whose numbers come back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from wardgate.master.loop import IN, Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    signal.set_wakeup_fd(-1)


def test_an_event_of_a_descriptor_that_was_closed_is_not_taken_for_one_of_the_next_with_its_number(loop: Loop) -> None:
    """As when a worker of the old generation ends in the moment in which the configuration is read again."""
    first, say_first = os.pipe()
    second, say_second = os.pipe()
    heard: list[str] = []
    opened: list[int] = []

    def on_first(_events: int) -> None:
        os.read(first, 1)
        heard.append("first")
        loop.forget(second)
        os.close(second)
        reader, writer = os.pipe()
        assert reader == second, "the kernel gives the lowest number that is free"
        opened.extend((reader, writer))
        loop.watch(reader, IN, on_third)
        loop.after(0.02, loop.stop)

    def on_third(_events: int) -> None:
        heard.append("third")
        loop.stop()

    loop.watch(first, IN, on_first)
    loop.watch(second, IN, lambda _events: heard.append("second"))
    os.write(say_first, b"1")
    os.write(say_second, b"2")
    loop.run()
    assert heard == ["first"]
    os.write(opened[1], b"3")
    loop.after(20.0, loop.stop)
    loop._running = True
    loop.run()
    assert "third" in heard
    for fd in (first, say_first, say_second, *opened):
        os.close(fd)


def test_a_handler_that_was_watched_again_hears_the_next_event(loop: Loop) -> None:
    reader, writer = os.pipe()
    heard: list[str] = []

    def again(_events: int) -> None:
        heard.append("again")
        loop.forget(reader)
        loop.watch(reader, IN, then)

    def then(_events: int) -> None:
        heard.append("then")
        os.read(reader, 1)
        loop.stop()

    loop.watch(reader, IN, again)
    os.write(writer, b"1")
    loop.run()
    assert heard == ["again", "then"]
    os.close(reader)
    os.close(writer)
