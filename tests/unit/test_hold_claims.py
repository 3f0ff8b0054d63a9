"""A change of an original is recorded, then durable beside its bytes, and only then is anything made of it (PS3.15 A.1.1 d)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.custody.record import Quality
from wardgate.custody.status import State
from wardgate.custody.wire import Status
from wardgate.hold.holding import Claim
from wardgate.hold.originals import AGAIN_SECONDS, NOTE, Originals

ENTRY: Any = SimpleNamespace(stem="0000000000000001-0123456789abcdef", name="0000000000000001-0123456789abcdef")
HEADER: Any = SimpleNamespace(link="ct1", sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3")


class Desk:
    """A forwarder without a disk: what it is asked to do waits until the test does it."""

    def __init__(self) -> None:
        self.records: list[Callable[[Status, int], None]] = []
        self.syncs: list[Callable[[Exception | None], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.notes: list[dict[str, object]] = []
        self.events: list[object] = []
        self.gate = SimpleNamespace(
            clock=SimpleNamespace(now=lambda: (1, Quality.SYNCHRONISED)),
            config=SimpleNamespace(box=SimpleNamespace(name="ward-ct1")),
            custodian=SimpleNamespace(submit=lambda _op, _id, _number, _record, answered: self.records.append(answered)),
            event=lambda code, **_fields: self.events.append(code),
        )
        self.store = SimpleNamespace(note=lambda _entry, **facts: self.notes.append(facts))
        self.syncer = SimpleNamespace(sync=self.syncs.append)
        self.loop = SimpleNamespace(at=lambda seconds, call: self.later.append((seconds, call)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def _change(desk: Desk, done: list[bool]) -> Claim:
    before = Claim(State.OR)
    after = before._replace(state=State.OR_PENDING)
    forwarder: Any = desk
    Originals(forwarder).authorize(ENTRY, HEADER, before, after, {}, done.append)
    return after


def test_a_change_is_recorded_then_durable_then_told(desk: Desk) -> None:
    done: list[bool] = []
    after = _change(desk, done)
    assert (desk.notes, desk.syncs, done) == ([], [], [])
    desk.records.pop()(Status.OK, 7)
    assert desk.notes == [{NOTE: after.encode()}]
    assert done == []  # a journal that knew of it now would know more than the disk does after a power cut
    desk.syncs.pop()(None)
    assert done == [True]


def test_a_change_that_is_not_durable_yet_is_not_told_and_tried_again(desk: Desk) -> None:
    done: list[bool] = []
    _change(desk, done)
    desk.records.pop()(Status.OK, 7)
    desk.syncs.pop()(OSError("full"))
    assert done == [] and len(desk.events) == 1
    ((seconds, again),) = desk.later
    assert seconds == AGAIN_SECONDS
    again()
    desk.syncs.pop()(None)
    assert done == [True] and len(desk.notes) == 1


def test_a_change_without_a_record_is_none(desk: Desk) -> None:
    done: list[bool] = []
    _change(desk, done)
    desk.records.pop()(Status.IO_ERROR, -1)
    assert (desk.notes, desk.syncs, done) == ([], [], [False])
