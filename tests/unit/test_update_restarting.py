"""When a box may start again into what a server brought."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from wardgate.log import Log
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.updates import Updates
from wardgate.update.restarting import Wait, reason, running, wait


@pytest.mark.parametrize(
    ("minute", "hours", "associations", "patient", "expected"),
    [
        (0, "", 0, True, None),
        (0, "", 1, True, Wait.ASSOCIATIONS),
        (0, "", 1, False, None),
        (119, "02:00-04:00", 0, True, Wait.HOURS),
        (120, "02:00-04:00", 0, True, None),
        (239, "02:00-04:00", 0, True, None),
        (240, "02:00-04:00", 0, True, Wait.HOURS),
        (180, "02:00-04:00", 3, True, Wait.ASSOCIATIONS),
        (300, "02:00-04:00", 3, False, Wait.HOURS),
    ],
)
def test_each_reason_to_wait(minute: int, hours: str, associations: int, patient: bool, expected: Wait | None) -> None:
    assert reason(minute, hours, associations, patient) is expected


class Config:
    """As much of a configuration as is asked."""

    def __init__(self, **words: Any) -> None:
        self.updates = Updates(Endpoint("updates.test", 443), Path("anchors"), Path("token"), "box", **words)


def waited(counts: list[int], **words: Any) -> list[float]:
    """Return the pauses that are made while `counts` associations run, the last for ever."""
    pauses: list[float] = []
    wait(Config(**words), Log("test"), lambda: counts.pop(0) if len(counts) > 1 else counts[0], pauses.append)  # type: ignore[arg-type]
    return pauses


def test_it_starts_as_soon_as_no_association_runs() -> None:
    assert waited([2, 1, 0]) == [5.0, 5.0]


def test_after_patience_those_that_run_are_left_to_the_drain() -> None:
    assert waited([1], restart_patience_seconds=15) == [5.0, 5.0, 5.0]
    assert waited([1], restart_patience_seconds=0) == []


def test_patience_does_not_count_outside_the_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    gmtime, two = time.gmtime, 1_795_917_600  # 2026-11-29T02:00:00Z
    monkeypatch.setattr(time, "gmtime", lambda: gmtime(two - 20 + sum(pauses)))
    config = Config(restart_hours="02:00-04:00", restart_patience_seconds=10)
    wait(config, Log("test"), lambda: 1, pauses.append)  # type: ignore[arg-type]
    assert pauses == [5.0] * 6, "four until two o'clock, two of patience"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"totals": {"links": {"ct1": {"now": 2}, "ct2": {"now": 1}}}}, 3),
        ({"totals": {}}, 0),
        ({}, 0),
        ({"totals": {"links": {"ct1": 5}}}, 0),
    ],
)
def test_associations_are_counted_over_all_links(status: dict[str, Any], expected: int) -> None:
    assert running("/run/wardgate", lambda _path: status) == expected


def test_a_gateway_that_does_not_answer_has_none_to_disturb() -> None:
    def ask(_path: str) -> dict[str, Any]:
        raise ConnectionRefusedError

    assert running("/run/wardgate", ask) == 0
