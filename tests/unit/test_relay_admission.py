"""Which worker takes a connection: the one that has fewest, and any rather than none."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.master.parts import Parts
from wardgate.policy.model import Limits
from wardgate.relay import admission as module
from wardgate.relay.admission import Admission
from wardgate.relay.census import Census

HOST = "127.0.0.1"
SECONDS = 60.0


class Worker:
    """As much of a worker as admission needs. `turn` is one turn of its loop with a connection waiting."""

    def __init__(self, census: Census, listener: socket.socket) -> None:
        self.handler: Any = None
        self.loop = SimpleNamespace(each_tick=lambda _hook: None, register=self._register, discard=lambda _sock: None, ready=1, now=0.0)
        self.gate: Any = SimpleNamespace(loop=self.loop, census=census, limits=Limits(), links={}, embryos={}, event=print)
        self.taken: list[socket.socket] = []
        self.admission = Admission(self.gate)
        self.admission.open(listener, SimpleNamespace(endpoint="here", callers=lambda _host: [("link", "party")]))  # type: ignore[arg-type]

    def _register(self, _fd: int, handler: Any, _events: int) -> None:
        self.handler = handler

    def turn(self) -> None:
        self.handler(1)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Worker, Worker, list[socket.socket], socket.socket]]:
    """Two workers at one listening socket."""

    class Taken:
        def __init__(self, gate: Any, _callers: Any, caller: socket.socket, _host: str, _address: str) -> None:
            next(each for each in workers if each.gate is gate).taken.append(caller)

        def begin(self) -> None:
            pass

    monkeypatch.setattr(module, "Association", Taken)
    listener = socket.create_server((HOST, 0), backlog=64)
    parts = Parts()
    workers = [Worker(Census(parts.fd, parts.take()), listener) for _ in range(2)]
    callers: list[socket.socket] = []
    yield workers[0], workers[1], callers, listener
    for sock in (*callers, *(each for worker in workers for each in worker.taken), listener):
        sock.close()
    parts.close()


def call(listener: socket.socket, callers: list[socket.socket]) -> None:
    callers.append(socket.create_connection(listener.getsockname(), SECONDS))


def test_connections_at_once_are_shared_out_also_when_one_worker_is_always_first(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", SECONDS)
    quick, other, callers, listener = two
    for _ in range(6):
        call(listener, callers)
    for _ in range(6):
        quick.turn()
        quick.turn()
        other.turn()
    assert (len(quick.taken), len(other.taken)) == (3, 3)


def test_one_that_takes_nothing_costs_a_connection_a_moment_and_not_its_place(two: Any) -> None:
    quick, _other, callers, listener = two
    for _ in range(4):
        call(listener, callers)
    until = time.monotonic() + SECONDS
    while len(quick.taken) < 4 and time.monotonic() < until:
        quick.turn()
    assert len(quick.taken) == 4


def test_a_worker_that_accepts_no_more_is_left_nothing(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", SECONDS)
    quick, other, callers, listener = two
    other.admission.close()
    for _ in range(4):
        call(listener, callers)
        quick.turn()
    assert len(quick.taken) == 4


def test_a_worker_that_ended_is_left_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts()
    mine, gone = parts.take(), parts.take()
    one, other = Census(parts.fd, mine), Census(parts.fd, gone)
    other.accepts(True)
    one.accepts(True)
    one.arrived(HOST)
    assert one.others_have_fewer() and not other.others_have_fewer()
    parts.give_back(gone)
    assert not one.others_have_fewer()
    parts.close()
    assert not Census().others_have_fewer()
