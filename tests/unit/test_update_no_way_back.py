"""A new slot that is bad on a box whose other slot does not start any more: it is tried, then the box stays up, and can be mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.standinbox import StandIn
from wardgate.log import Log
from wardgate.update import trial as trials
from wardgate.update.grubenv import TRIES
from wardgate.update.installing import after, before, install
from wardgate.update.judge import SERVICE, Outcome, Seen
from wardgate.update.judging import Result, after_start
from wardgate.update.owed import Ending
from wardgate.update.trial import Side, TrialError

WORKS = Seen({SERVICE: Outcome.WORKS, "peer:ct1/pacs": Outcome.WORKS}, 5)
NO_PACS = Seen({SERVICE: Outcome.WORKS, "peer:ct1/pacs": Outcome.FAILS}, 5)


class Config:
    """As much of a configuration as the judge reads."""

    class box:
        trial_seconds = 0


def put(box: StandIn) -> None:
    install(box, Config(), "bundle", Log("test"), lambda: WORKS)  # type: ignore[arg-type]


def started(box: StandIn, seen: Seen = NO_PACS) -> Result:
    return after_start(box.restarted("B", "2.0.0"), Config(), Log("test"), lambda: seen)  # type: ignore[arg-type]


def test_a_bad_slot_to_which_the_loader_comes_back_again_and_again_stays_at_last(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = StandIn(folder)
    put(box)
    results = [started(box) for _ in range(TRIES + 1)]
    assert results == [*[Result.START_AGAIN] * TRIES, Result.STAYS], "as often as the loader tries a slot that could not be marked"
    assert box.done == ["good", "record unproven 1.0.0>2.0.0 WG971"] and box.detail == "missing: peer:ct1/pacs"
    assert "WG971" in capsys.readouterr().err
    assert box.trial() is None and started(box) is Result.STAYS, "it is over"
    put_back = StandIn(folder, "B", "2.0.0", "2.0.1")
    put(put_back)
    assert put_back.done[0] == "install", "what mends it is taken"


def test_it_is_good_when_it_works_meanwhile(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    assert [started(box), started(box), started(box, WORKS)] == [Result.START_AGAIN, Result.START_AGAIN, Result.NEWLY_GOOD]


def test_a_box_whose_trial_cannot_be_read_and_that_serves_nobody_stays_at_last_too(folder: Path) -> None:
    """The other slot may be half written."""
    box = StandIn(folder)
    (folder / "trial.json").write_text("{")
    dead = Seen({SERVICE: Outcome.FAILS}, None)
    assert [started(box, dead) for _ in range(TRIES + 1)] == [*[Result.START_AGAIN] * TRIES, Result.STAYS]


def test_the_server_that_brought_it_is_told(folder: Path) -> None:
    box = StandIn(folder)
    before(box, Config(), "2.0.0", lambda: WORKS, only_newer=True)  # type: ignore[arg-type]
    after(box, Config(), Log("test"), "2.0.0", "ab" * 20)  # type: ignore[arg-type]
    for _ in range(TRIES + 1):
        started(box)
    owed = box.owed()
    assert owed is not None and owed.ending is Ending.ROLLED_BACK
    assert owed.detail == "stays, as slot A does not start; missing: peer:ct1/pacs"


@pytest.mark.parametrize("count", ["-1", "1001", "true", '"2"', "null"])
def test_a_count_that_cannot_be_is_no_trial(count: str) -> None:
    whole = trials.write(trials.Trial(trials.Phase.FAILED, "boot", Side("A", "1"), Side("B", "2"), frozenset(), bad=2))
    assert trials.read(whole).bad == 2
    with pytest.raises(TrialError):
        trials.read(whole.replace(b'"bad": 2', f'"bad": {count}'.encode()))
    assert trials.read(whole.replace(b',\n "bad": 2', b"")).bad == 0, "of a release that wrote none"
