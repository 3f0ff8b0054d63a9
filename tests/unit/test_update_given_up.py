"""An install that RAUC ends without the slot, after it has asked its handler: no trial of it stays, and what is on trial stays on trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.standinbox import StandIn
from wardgate.log import Log
from wardgate.update import watching
from wardgate.update.box import RaucError
from wardgate.update.installing import Refused, after, before, install
from wardgate.update.judge import SERVICE, Outcome, Seen
from wardgate.update.judging import Result, after_start
from wardgate.update.trial import Phase, Side
from wardgate.update.watching import until_over

WORKS = Seen({SERVICE: Outcome.WORKS}, 5)
DEAD = Seen({SERVICE: Outcome.FAILS}, None)
REFUSED = "record refused 1.0.0>2.0.0 WG900"


class Config:
    """As much of a configuration as the judge reads."""

    class box:
        trial_seconds = 0


def begun(folder: Path, version: str = "2.0.0", box: StandIn | None = None) -> StandIn:
    """Return a box whose RAUC has asked its handler."""
    box = StandIn(folder) if box is None else box
    before(box, Config(), version, lambda: WORKS, only_newer=True)  # type: ignore[arg-type]
    return box


def watched(box: StandIn, version: str = "2.0.0") -> list[float]:
    """Wait for RAUC's end as the unit does; return the pauses."""
    pauses: list[float] = []
    until_over(box, Config(), Log("test"), version, pauses.append)  # type: ignore[arg-type]
    return pauses


def written(box: StandIn, version: str = "2.0.0") -> None:
    after(box, Config(), Log("test"), version)  # type: ignore[arg-type]


def judged(box: StandIn, seen: Seen = WORKS) -> Result:
    return after_start(box, Config(), Log("test"), lambda: seen)  # type: ignore[arg-type]


def test_an_install_that_rauc_refuses_after_its_handler_leaves_no_trial_and_is_recorded(folder: Path) -> None:
    box = begun(folder)
    box.busy = 3
    assert len(watched(box)) == 3
    assert box.trial() is None and not box.is_any_trial() and box.done == [REFUSED]
    assert box.detail == "Compatible mismatch"
    assert judged(box.restarted("A", "1.0.0")) is Result.STAYS
    assert box.done == ["good"], "not told as interrupted"


def test_an_install_that_ends_well_is_left_to_the_handler_after_it(folder: Path) -> None:
    box = begun(folder)
    written(box)
    watched(box)
    kept = box.trial()
    assert kept is not None and kept.phase is Phase.INSTALLED and box.done == ["record installed 1.0.0>2.0.0 WG904"]


def test_a_slot_that_is_written_while_the_end_is_waited_for_is_on_trial(folder: Path) -> None:
    box = begun(folder)
    box.busy = 1
    until_over(box, Config(), Log("test"), "2.0.0", lambda seconds: written(box))  # type: ignore[arg-type]
    assert box.is_any_trial() and box.done == ["record installed 1.0.0>2.0.0 WG904"]


def test_a_box_that_goes_off_while_rauc_writes_still_tells_so(folder: Path) -> None:
    box = begun(folder)
    assert judged(box.restarted("A", "1.0.0")) is Result.STAYS
    assert box.done == ["good", "record interrupted 1.0.0>2.0.0 WG908"]


@pytest.mark.parametrize("first", ["who waits", "who asked"])
def test_who_asked_rauc_and_who_waits_for_its_end_record_one_refusal(folder: Path, first: str) -> None:
    class WithHandlers(StandIn):
        def install(self, path: str) -> None:
            begun(folder, box=self)
            if first == "who waits":
                watched(self)
            raise RaucError("Compatible mismatch")

    box = WithHandlers(folder)
    with pytest.raises(Refused):
        install(box, Config(), "bundle", Log("test"), lambda: WORKS)  # type: ignore[arg-type]
    watched(box)
    assert box.done == [REFUSED]


def test_what_was_given_up_too_early_is_on_trial_when_it_is_written(folder: Path) -> None:
    box = begun(folder)
    watched(box)
    written(box)
    kept = box.trial()
    assert kept is not None and kept.phase is Phase.INSTALLED and kept.worked == {SERVICE}
    assert judged(box.restarted("B", "2.0.0"), DEAD) is Result.START_AGAIN


def test_what_was_given_up_is_on_trial_when_its_slot_runs_all_the_same(folder: Path) -> None:
    box = begun(folder)
    watched(box)
    assert judged(box.restarted("B", "2.0.0"), DEAD) is Result.START_AGAIN
    assert judged(box.restarted("A", "1.0.0")) is Result.STAYS
    assert box.done == ["good", "record rolled-back 1.0.0>2.0.0 WG907"]


@pytest.mark.parametrize("seen, ends", [(WORKS, Result.NEWLY_GOOD), (DEAD, Result.START_AGAIN)])
def test_a_slot_that_waits_for_its_trial_is_judged_also_when_another_bundle_was_refused_meanwhile(
    folder: Path, seen: Seen, ends: Result
) -> None:
    """RAUC refuses a bundle of another board before it touches the slot."""
    box = StandIn(folder)
    install(box, Config(), "bundle", Log("test"), lambda: WORKS)  # type: ignore[arg-type]
    box.brings, box.breaks = "9.9.9", "install"
    with pytest.raises(Refused):
        install(box, Config(), "bundle", Log("test"), lambda: WORKS)  # type: ignore[arg-type]
    assert judged(box.restarted("B", "2.0.0"), seen) is ends
    if ends is Result.NEWLY_GOOD:
        assert box.done == ["good", "record good 1.0.0>2.0.0 WG905"], "of the version that runs"


def test_who_asks_rauc_while_it_installs_another_version_takes_no_trial_from_that_one(folder: Path) -> None:
    box = begun(folder)
    box.brings, box.breaks = "3.0.0", "install"  # "already processing a different method"
    with pytest.raises(Refused):
        install(box, Config(), "bundle", Log("test"), lambda: WORKS)  # type: ignore[arg-type]
    written(box)
    kept = box.trial()
    assert kept is not None and kept.phase is Phase.INSTALLED and kept.new == Side("B", "2.0.0")


def test_what_waits_for_one_version_leaves_another_alone(folder: Path) -> None:
    box = begun(folder)
    assert watched(box, "2.0.1") == [] and box.is_any_trial() and box.done == []


def test_what_was_looked_at_anew_meanwhile_is_not_given_up(folder: Path) -> None:
    box = begun(folder)
    box.busy = 1
    until_over(box, Config(), Log("test"), "2.0.0", lambda seconds: begun(folder, "2.0.1", box) and None)  # type: ignore[arg-type]
    kept = box.trial()
    assert kept is not None and kept.new.version == "2.0.1" and box.done == []


def test_rauc_that_does_not_end_is_waited_for_no_longer_than_it_may_take(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "LIMIT_SECONDS", -1.0)
    box = begun(folder)
    box.busy = 10
    assert watched(box) == []
    assert box.is_any_trial() and box.done == [] and "WG911" in capsys.readouterr().err


def test_a_check_of_the_slot_in_the_same_start_leaves_what_was_given_up_where_it_is(folder: Path) -> None:
    box = begun(folder)
    watched(box)
    box.done = []
    assert judged(box) is Result.STAYS and box.aside() is not None
    assert judged(box.restarted("A", "1.0.0")) is Result.STAYS and box.aside() is None


def test_an_install_after_one_that_failed_ends_both(folder: Path) -> None:
    box = begun(folder)
    watched(box)
    begun(folder, box=box)
    written(box)
    assert judged(box.restarted("B", "2.0.0")) is Result.NEWLY_GOOD
    assert box.aside() is None and box.trial() is None


def test_what_was_given_up_and_cannot_be_read_is_asked_for_the_gateway_alone(folder: Path) -> None:
    box = StandIn(folder)
    (folder / "aside.json").write_text("{")
    assert judged(box.restarted("B", "2.0.0"), DEAD) is Result.START_AGAIN
