"""The steps of a handshake, which wait for a thread and for a token."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wardgate.relay.legstate import Side, State
from wardgate.relay.secure import Handshake


class Queue:
    """A pool whose threads are all busy."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any, Exception | None], None]]] = []

    def submit(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        self.waiting.append((work, done))

    def work(self) -> None:
        for work, done in self.waiting:
            done(work(), None)


class Channel:
    """Signs at each step."""

    def __init__(self) -> None:
        self.signed = 0

    def step(self, data: bytes | None) -> tuple[bytes, bool]:
        self.signed += 1
        return b"flight", False


@pytest.mark.parametrize(("state", "signed"), [(State.CLOSED, 0), (State.PARTING, 0), (State.HANDSHAKE, 1)])
def test_nothing_is_signed_for_who_went_while_its_step_waited_for_a_thread(state: State, signed: int) -> None:
    """A caller that hangs up, or gave way to others, must not keep a card busy that they wait for."""
    channel, queue = Channel(), Queue()
    leg = SimpleNamespace(channel=channel, side=Side.ACCEPTOR, state=State.HANDSHAKE, pause=lambda _why: None, resume=lambda _why: None)
    leg.hold_wire = leg.send_wire = lambda _wire: None
    leg.send_held = lambda: None
    party = SimpleNamespace(token=None)
    handshake = Handshake(cast(Any, SimpleNamespace(pool=queue)), cast(Any, leg), [cast(Any, party)], (), lambda _identity, _error: None)
    handshake.feed(b"ClientHello")
    leg.state = state
    queue.work()
    assert channel.signed == signed
