"""How events leave a process and arrive: nothing waits, nothing that was acknowledged is lost, what found no room is told."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.processes import until
from wardgate.audit.event import AuditEvent, EventError
from wardgate.audit.intake import Intake
from wardgate.audit.outbox import NAME, Outbox
from wardgate.codes import Code
from wardgate.hold.port import ask
from wardgate.relay.loop import Loop


class Desk:
    """An intake on a loop of its own, which keeps in a list."""

    def __init__(self, folder: Path) -> None:
        self.taken: list[AuditEvent] = []
        self.kept: list[AuditEvent] = []
        self.failures: list[Exception] = []
        self.fails = False
        self.full = True
        self.syncs = 0
        self._loop = Loop(self.failures.append)
        self.intake = Intake(self._loop, str(folder / NAME), self._take, self._sync, lambda _q: {"ok": True}, self.failures.append)
        self.intake.listen()
        self._thread = threading.Thread(target=self._loop.run, daemon=True)

    def start(self) -> Desk:
        self._thread.start()
        return self

    def _take(self, event: AuditEvent) -> None:
        if event.peer == "poison":
            raise EventError("poison")
        if event.peer == "full" and self.full:
            self.full = False
            self.taken.clear()
            raise OSError(errno.ENOSPC, "full")
        self.taken.append(event)

    def _sync(self) -> None:
        self.syncs += 1
        if self.fails:
            self.taken.clear()
            raise OSError(errno.EIO, "no disk")
        self.kept += self.taken
        self.taken.clear()

    def end(self) -> None:
        self._loop.call(self.intake.finish)
        self._loop.call(self._loop.stop)
        self._thread.join()


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    one = Desk(folder).start()
    try:
        yield one
    finally:
        one.end()


def box(folder: Path, **words: Any) -> Outbox:
    return Outbox(folder / NAME, "wardgate[1.0]", **words)


def put(outbox: Outbox, *peers: str, code: Code = Code.TLS_INTEGRITY) -> None:
    for peer in peers:
        outbox.put(code, peer, {"at": f"{peer}:104"})


def settle(outbox: Outbox, done: Callable[[], bool]) -> None:
    def turned() -> bool:
        outbox.turn()
        return done()

    until(turned, "it settles")


def test_events_arrive_in_order_and_are_let_go_when_they_are_kept(folder: Path) -> None:
    one = Desk(folder)
    outbox = box(folder)
    put(outbox, *(f"h{number}" for number in range(100)))
    one.start()
    try:
        settle(outbox, lambda: outbox.waiting == 0)
    finally:
        one.end()
    assert [event.peer for event in one.kept] == [f"h{number}" for number in range(100)]
    assert one.kept[0].who == "wardgate[1.0]" and one.kept[0].code == 316
    assert one.syncs < 100  # by group


def test_what_is_not_audited_never_leaves(folder: Path) -> None:
    outbox = box(folder)
    put(outbox, "h", code=Code.ASSOCIATION_BEGAN)
    assert outbox.waiting == 0


def test_without_a_sender_nothing_waits_and_everything_is_said_when_it_comes(folder: Path) -> None:
    outbox = box(folder)
    put(outbox, *(f"h{number}" for number in range(50)))  # one that waited for a sender would not come back
    outbox.turn()
    assert outbox.waiting == 50
    with desk(folder) as one:
        settle(outbox, lambda: outbox.waiting == 0)
        assert len(one.kept) == 50


def test_a_sender_that_stands_still_does_not_hold_its_emitter_up(folder: Path) -> None:
    """The loop of the sender never runs: the socket's queue fills, and the rest waits in bounded number."""
    loop = Loop(lambda _error: None)
    intake = Intake(loop, str(folder / NAME), lambda _e: None, lambda: None, lambda _q: {}, lambda _e: None)
    intake.listen()
    outbox = box(folder)
    for number in range(2000):  # a put that waited for the sender would not come back
        put(outbox, f"h{number}")
    assert outbox.waiting == 512 and outbox.lost == 2000 - 512
    intake.finish()


def test_a_sender_that_dies_gets_again_what_it_had_not_kept(folder: Path) -> None:
    outbox = box(folder)
    with desk(folder) as first:
        first.fails = True
        put(outbox, "a", "b")
        settle(outbox, lambda: bool(first.failures))
        assert outbox.waiting == 2
    with desk(folder) as second:
        settle(outbox, lambda: outbox.waiting == 0)
        assert [event.peer for event in second.kept] == ["a", "b"]


def test_a_write_that_fails_takes_back_what_others_wrote_in_the_same_turn(folder: Path) -> None:
    one = Desk(folder)
    first, second = box(folder), box(folder)
    put(first, "a")
    put(second, "full")
    one.start()
    try:
        until(lambda: bool(one.failures), "the disk is full")
        settle(second, lambda: second.waiting == 0)
        settle(first, lambda: first.waiting == 0)
        assert sorted(event.peer for event in one.kept) == ["a", "full"]
    finally:
        one.end()


def test_a_disk_that_comes_back_gets_what_it_refused(folder: Path) -> None:
    outbox = box(folder)
    with desk(folder) as one:
        one.fails = True
        put(outbox, "a")
        settle(outbox, lambda: len(one.failures) > 1)
        one.fails = False
        settle(outbox, lambda: outbox.waiting == 0)
        assert [event.peer for event in one.kept] == ["a"]


def test_what_found_no_room_is_counted_and_told(folder: Path) -> None:
    outbox = box(folder, waiting=5)
    put(outbox, *"abcdefgh")
    assert (outbox.waiting, outbox.lost) == (5, 3)
    with desk(folder) as one:
        settle(outbox, lambda: len(one.kept) == 6)
        assert one.kept[-1].code == Code.AUDIT_EVENTS_LOST.value.number
        assert one.kept[-1].words == {"detail": "3 events"}


def test_a_flood_of_one_kind_from_one_peer_is_summed_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("wardgate.audit.outbox.time.monotonic", lambda: now[0])
    outbox = box(folder)
    for number in range(500):
        outbox.put(Code.CHAIN_UNTRUSTED, "h", {"at": f"192.0.2.66:{number}"})
    put(outbox, "192.0.2.67")
    assert outbox.waiting == 21
    now[0] += 11
    with desk(folder) as one:
        outbox.turn()
        monkeypatch.undo()
        settle(outbox, lambda: outbox.waiting == 0)
        assert (one.kept[-1].peer, one.kept[-1].words) == ("192.0.2.66", {"repeated": "480"})


def test_an_event_that_cannot_be_taken_does_not_come_again_for_ever(folder: Path) -> None:
    with desk(folder) as one:
        outbox = box(folder)
        put(outbox, "a", "poison", "b")
        settle(outbox, lambda: outbox.waiting == 0)
        assert [event.peer for event in one.kept] == ["a", "b"] and len(one.failures) == 1


def test_what_was_said_before_the_end_is_still_taken(folder: Path) -> None:
    one = Desk(folder).start()
    outbox = box(folder)
    put(outbox, "a")
    one.end()
    assert [event.peer for event in one.kept] == ["a"]


def test_a_packet_that_is_no_event_ends_its_connection_and_no_other(folder: Path) -> None:
    with desk(folder) as one:
        outbox = box(folder)
        outbox.turn()
        with pytest.raises((OSError, ValueError)):
            ask(str(folder / NAME), {"event": 7})
        put(outbox, "a")
        settle(outbox, lambda: outbox.waiting == 0)
        assert len(one.kept) == 1 and ask(str(folder / NAME), {"do": "status"}) == {"ok": True}


def test_a_disk_that_is_full_while_the_sender_ends_ends_it_in_order(folder: Path) -> None:
    one = Desk(folder)
    outboxes = [box(folder), box(folder)]
    for outbox in outboxes:
        outbox.turn()  # connects
        one.intake._called(0)
    first, second = one.intake._emitters
    put(outboxes[1], "waits for its sync")
    one.intake._read(second, 1)
    put(outboxes[0], "full")
    assert first < second  # as they are asked
    one.intake.finish()
    assert one.intake.emitters == 0 and [getattr(failure, "errno", 0) for failure in one.failures] == [errno.ENOSPC]
