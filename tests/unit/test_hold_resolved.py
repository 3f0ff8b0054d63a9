"""The end of a transfer of an original whose file the disk does not give: nothing is claimed, nothing removed, nobody kept waiting."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.hold import holding
from wardgate.hold.originals import AGAIN_SECONDS, DAMAGED_SECONDS, Originals
from wardgate.hold.seal import Damaged


class Queue:
    """Stands for the forwarder: a claim on its way, bytes that cannot be read, a loop that keeps what is to be done later."""

    def __init__(self, claim: holding.Claim, error: Exception) -> None:
        self.error = error
        self.later: list[tuple[float, Any]] = []
        self.events: list[str] = []
        self.gate = SimpleNamespace(event=lambda code, **_words: self.events.append(code.name))
        self.loop = SimpleNamespace(at=lambda seconds, work: self.later.append((seconds, work)))
        self.store = SimpleNamespace(facts=lambda _stem: {"claim": claim.encode()}, read=self._read)

    def _read(self, _entry: object) -> Any:
        raise self.error


def resolve(error: Exception, committed: bool) -> tuple[Queue, list[object]]:
    claim = holding.Claim(holding.State.AO_PENDING)
    queue, told = Queue(claim, error), list[object]()
    entry: Any = SimpleNamespace(stem="1", name="1")
    Originals(queue).resolved(entry, committed, "pacs", "1.2", told.append)  # type: ignore[arg-type]
    return queue, told


@pytest.mark.parametrize(
    "error, seconds, code",
    [
        (Damaged("torn"), DAMAGED_SECONDS, "HOLD_DAMAGED"),
        (OSError(errno.EIO, "no"), DAMAGED_SECONDS, "HOLD_DAMAGED"),
        (OSError(errno.EMFILE, "full"), AGAIN_SECONDS, "HOLD_NOT_OPENED"),
    ],
)
def test_a_committed_original_that_cannot_be_read_stays_and_is_tried_again(error: Exception, seconds: float, code: str) -> None:
    queue, told = resolve(error, committed=True)
    assert (queue.events, told) == ([code], [])
    ((after, again),) = queue.later
    assert after == seconds
    again()
    assert queue.events == [code, code] and len(queue.later) == 2


def test_one_that_was_not_committed_goes_to_a_person_though_it_cannot_be_read() -> None:
    queue, told = resolve(Damaged("torn"), committed=False)
    assert told == [None] and not queue.later


def test_one_that_is_gone_is_waited_for_no_more() -> None:
    queue, told = resolve(FileNotFoundError(errno.ENOENT, "gone"), committed=True)
    assert told == [None] and not queue.later
