"""Install and judgement in order, on a box whose RAUC, slots and log are stand-ins: the real ones are in tests/image/test_update.py."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.standinbox import StandIn
from wardgate import policy
from wardgate.codes import Code
from wardgate.log import Log
from wardgate.update import command, probes
from wardgate.update.installing import Refused, after, before, install
from wardgate.update.judge import CUSTODY, SERVICE, VAULT, Outcome, Seen
from wardgate.update.judging import Result, after_start
from wardgate.update.owed import Ending, Owed
from wardgate.update.trial import Phase, Side, Trial

WORKS = Seen({SERVICE: Outcome.WORKS, CUSTODY: Outcome.WORKS, "peer:ct1/pacs": Outcome.WORKS}, 5)
CLOSED = Seen({SERVICE: Outcome.FAILS, VAULT: Outcome.FAILS, CUSTODY: Outcome.FAILS, "peer:ct1/pacs": Outcome.WORKS}, None)
DEAD = Seen({SERVICE: Outcome.FAILS, CUSTODY: Outcome.CONTRADICTS}, None)


class Config:
    """As much of a configuration as the judge reads."""

    class box:
        trial_seconds = 0


def put(box: StandIn, seen: Seen = WORKS, **words: bool) -> Trial:
    return install(box, Config(), "bundle", Log("test"), lambda: seen, **words)  # type: ignore[arg-type]


def judged(box: StandIn, look: Callable[[], Seen], config: Any = Config) -> Result:
    return after_start(box, config, Log("test"), look)


def test_an_update_that_works_is_marked_good_recorded_and_forgotten(folder: Path) -> None:
    box = StandIn(folder)
    trial = put(box)
    assert trial.new == Side("B", "2.0.0") and trial.worked == {SERVICE, CUSTODY, "peer:ct1/pacs"}
    assert box.done == ["install", "record installed 1.0.0>2.0.0 WG904"]
    assert judged(box.restarted("B", "2.0.0"), lambda: WORKS) is Result.NEWLY_GOOD
    assert box.done == ["good", "record good 1.0.0>2.0.0 WG905"] and box.trial() is None


def test_an_update_that_does_not_work_is_marked_bad_and_told_by_the_old_slot(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    assert judged(box.restarted("B", "2.0.0"), lambda: DEAD) is Result.START_AGAIN
    assert box.done == ["bad"]
    kept = box.trial()
    assert kept is not None and kept.phase is Phase.FAILED and SERVICE in kept.missing
    assert judged(box.restarted("A", "1.0.0"), lambda: WORKS) is Result.STAYS
    assert box.done == ["good", "record rolled-back 1.0.0>2.0.0 WG907"] and box.trial() is None
    assert box.rolled_back() == "2.0.0"


def test_an_update_while_the_vault_is_closed_stays_and_is_judged_whole_when_it_is_open(folder: Path) -> None:
    box = StandIn(folder)
    assert put(box, CLOSED).worked == {"peer:ct1/pacs"}
    assert judged(box.restarted("B", "2.0.0"), lambda: CLOSED) is Result.STAYS
    assert box.done == ["good", "record unproven 1.0.0>2.0.0 WG921"], "the loader's tries must not run out"
    kept = box.trial()
    assert kept is not None and kept.phase is Phase.UNPROVEN and not box.is_on_trial()
    assert judged(box.restarted("B", "2.0.0"), lambda: CLOSED) is Result.STAYS
    assert box.done == ["good"], "told once"
    assert judged(box.restarted("B", "2.0.0"), lambda: WORKS) is Result.NEWLY_GOOD
    assert box.done == ["good", "record good 1.0.0>2.0.0 WG905"] and box.trial() is None


def test_an_unproven_update_whose_gateway_does_not_start_when_the_vault_is_open_goes_back(folder: Path) -> None:
    box = StandIn(folder)
    put(box, CLOSED)
    judged(box.restarted("B", "2.0.0"), lambda: CLOSED)
    opened = Seen({**DEAD.checks, "peer:ct1/pacs": Outcome.WORKS, VAULT: Outcome.WORKS}, None)
    assert judged(box.restarted("B", "2.0.0"), lambda: opened) is Result.START_AGAIN
    assert judged(box.restarted("A", "1.0.0"), lambda: WORKS) is Result.STAYS
    assert box.done == ["good", "record rolled-back 1.0.0>2.0.0 WG907"]


def test_an_unproven_update_may_be_followed_by_another(folder: Path) -> None:
    """A box that serves nobody is what a mended release is for."""
    box = StandIn(folder)
    put(box, CLOSED)
    judged(box.restarted("B", "2.0.0"), lambda: CLOSED)
    box.brings = "2.0.1"
    assert put(box, CLOSED).new == Side("A", "2.0.1")


def test_a_configuration_that_cannot_be_read_is_bad_also_where_nobody_was_served(folder: Path) -> None:
    box = StandIn(folder)
    put(box, CLOSED)
    assert judged(box.restarted("B", "2.0.0"), lambda: Seen({}, None), None) is Result.START_AGAIN


def test_a_box_that_went_off_while_it_was_written_tells_so(folder: Path) -> None:
    box = StandIn(folder)
    box.keep(Trial(Phase.INSTALLING, "boot-0", Side("A", "1.0.0"), Side("B", "2.0.0"), frozenset()))
    assert judged(box, lambda: WORKS) is Result.STAYS
    assert box.done == ["good", "record interrupted 1.0.0>2.0.0 WG908"] and box.trial() is None
    assert box.rolled_back() == ""


def test_an_ordinary_start_marks_the_slot_whatever_works(folder: Path) -> None:
    box = StandIn(folder)
    assert judged(box, lambda: DEAD) is Result.STAYS
    assert box.done == ["good"]


def test_a_configuration_that_the_new_version_cannot_read_is_bad_at_once(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    assert judged(box.restarted("B", "2.0.0"), lambda: Seen({}, None), None) is Result.START_AGAIN


def test_a_bad_slot_is_left_even_when_it_cannot_be_marked(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    box.restarted("B", "2.0.0").breaks = "bad"
    assert judged(box, lambda: DEAD) is Result.START_AGAIN


def test_a_trial_that_cannot_be_read_asks_for_the_gateway_alone(folder: Path) -> None:
    (folder / "trial.json").write_text("{")
    box = StandIn(folder)
    assert judged(box, lambda: Seen({SERVICE: Outcome.WORKS}, None)) is Result.NEWLY_GOOD
    (folder / "trial.json").write_text("{")
    assert judged(box.restarted("A", "1.0.0"), lambda: DEAD) is Result.START_AGAIN


def test_rauc_that_fails_leaves_no_trial(folder: Path) -> None:
    box = StandIn(folder)
    box.breaks = "install"
    with pytest.raises(Refused) as refused:
        put(box)
    assert refused.value.code is Code.UPDATE_REFUSED
    assert box.trial() is None and box.done == ["record refused 1.0.0>2.0.0 WG900"]


@pytest.mark.parametrize(
    "running, brings, code",
    [("2.0.1", "2.0.0", Code.UPDATE_OLDER), ("1.0.0", "two", Code.UPDATE_REFUSED), ("2.0.0", "1.9.9", Code.UPDATE_OLDER)],
)
def test_what_is_older_or_no_version_is_not_installed(folder: Path, running: str, brings: str, code: Code) -> None:
    box = StandIn(folder, running=running, bundle=brings)
    with pytest.raises(Refused) as refused:
        put(box)
    assert refused.value.code is code and "install" not in box.done


def test_no_update_while_the_slot_is_on_trial(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    with pytest.raises(Refused) as refused:
        put(box.restarted("B", "2.0.0"))
    assert refused.value.code is Code.UPDATE_ON_TRIAL


def test_an_update_may_be_installed_again_before_the_box_has_started(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    assert put(box).phase is Phase.INSTALLED


@pytest.mark.parametrize("running, rolled_back, taken", [("1.0.0", "", True), ("2.0.0", "", False), ("1.0.0", "2.0.0", False)])
def test_a_stick_that_stays_in_is_not_installed_again_and_again(folder: Path, running: str, rolled_back: str, taken: bool) -> None:
    box = StandIn(folder, running=running)
    if rolled_back:
        box.remember_rolled_back(rolled_back)
    if taken:
        put(box, only_newer=True)
    else:
        with pytest.raises(Refused) as refused:
            put(box, only_newer=True)
        assert refused.value.code is Code.UPDATE_NOT_NEWER and box.done == []
    assert ("install" in box.done) is taken


class WithHandlers(StandIn):
    """A box whose RAUC asks its handlers, as the image's does. `looks`: how often somebody looked at what works."""

    looks = 0

    def look(self) -> Seen:
        self.looks += 1
        return WORKS

    def handler_before(self, version: str = "2.0.0") -> Trial:
        return before(self, Config(), version, self.look, only_newer=True)  # type: ignore[arg-type]

    def handler_after(self, fetched: str = "") -> Trial:
        return after(self, Config(), Log("test"), "2.0.0", fetched)  # type: ignore[arg-type]

    def install(self, path: str) -> None:
        self.handler_before()
        super().install(path)
        self.handler_after()


def test_an_install_that_somebody_else_asks_of_rauc_is_on_trial_like_any_other(folder: Path) -> None:
    box = WithHandlers(folder)
    assert box.handler_before().worked == {SERVICE, CUSTODY, "peer:ct1/pacs"}
    assert box.handler_after().phase is Phase.INSTALLED
    assert box.done == ["record installed 1.0.0>2.0.0 WG904"]
    assert judged(box.restarted("B", "2.0.0"), lambda: DEAD) is Result.START_AGAIN


def test_an_install_of_our_own_looks_once_and_records_once_although_raucs_handlers_ask_too(folder: Path) -> None:
    box = WithHandlers(folder)
    box.remember_rolled_back("2.0.0")  # a person may try it again, and the handler does not forbid it
    install(box, Config(), "bundle", Log("test"), box.look)  # type: ignore[arg-type]
    assert box.looks == 1 and box.done == ["install", "record installed 1.0.0>2.0.0 WG904"]


@pytest.mark.parametrize(
    "version, code",
    [("1.0.0", Code.UPDATE_NOT_NEWER), ("none", Code.UPDATE_REFUSED), ("1.9.0", Code.UPDATE_NOT_NEWER), ("0.9.9", Code.UPDATE_OLDER)],
)
def test_a_server_cannot_bring_what_runs_what_is_older_what_was_rolled_back_or_what_has_no_version(
    folder: Path, version: str, code: Code
) -> None:
    box = WithHandlers(folder)
    box.remember_rolled_back("1.9.0")
    with pytest.raises(Refused) as refused:
        box.handler_before(version)
    assert refused.value.code is code and box.looks == 0 and box.trial() is None


def test_a_slot_that_was_written_with_nothing_begun_is_an_error(folder: Path) -> None:
    with pytest.raises(Refused) as refused:
        WithHandlers(folder).handler_after()
    assert refused.value.code is Code.UPDATE_FAILED


def test_another_version_in_the_same_start_is_looked_at_anew(folder: Path) -> None:
    box = WithHandlers(folder)
    box.handler_before("2.0.0")
    assert box.handler_before("2.0.1").new == Side("B", "2.0.1") and box.looks == 2


@pytest.mark.parametrize(
    ("slot", "version", "seen", "owed"),
    [
        ("B", "2.0.0", WORKS, Owed("ab" * 20, "2.0.0", Ending.GOOD)),
        ("A", "1.0.0", WORKS, Owed("ab" * 20, "2.0.0", Ending.ROLLED_BACK, "the new slot did not start, or did not come so far")),
        ("B", "2.0.0", DEAD, None),
    ],
)
def test_what_a_server_brought_is_owed_to_it_when_it_was_judged_and_not_before(
    folder: Path, slot: str, version: str, seen: Seen, owed: Owed | None
) -> None:
    box = WithHandlers(folder)
    box.handler_before()
    box.handler_after("ab" * 20)
    assert box.owed() is None and box.is_any_trial()
    judged(box.restarted(slot, version), lambda: seen)
    assert box.owed() == owed


def test_what_a_person_installed_is_owed_to_nobody(folder: Path) -> None:
    box = StandIn(folder)
    put(box)
    judged(box.restarted("B", "2.0.0"), lambda: WORKS)
    assert box.owed() is None and not box.is_any_trial()


# --- the custody log whole, after it


class Began:
    """Which programs the judge leaves behind."""

    def __init__(self, words: list[str], **more: Any) -> None:
        STARTED.append(words)


STARTED: list[list[str]] = []


@pytest.fixture
def judge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[StandIn], int]:
    """`wardgate update judge` on a box with a readable policy, where everything works."""
    STARTED.clear()
    monkeypatch.setattr(subprocess, "Popen", Began)
    monkeypatch.setattr(policy, "load", lambda path, **words: SimpleNamespace(box=Config.box, custody=SimpleNamespace(log=folder / "log")))
    monkeypatch.setattr(probes, "look", lambda config: WORKS)

    def run(box: StandIn) -> int:
        monkeypatch.setattr("wardgate.update.box.Box", lambda log: box)
        return command.main(["judge", "-c", "wardgate.toml"], io.StringIO(), io.StringIO())

    return run


def test_the_whole_log_is_checked_after_an_update_in_a_program_that_the_judge_leaves_behind(
    folder: Path, judge: Callable[[StandIn], int]
) -> None:
    box = StandIn(folder)
    put(box)
    assert judge(box) == 0 and STARTED == [], "not in the slot that installs"
    assert judge(box.restarted("B", "2.0.0")) == 0
    assert [words[-4:] for words in STARTED] == [["update", "whole", "-c", "wardgate.toml"]]


def test_a_check_of_the_whole_log_that_a_restart_cut_short_is_begun_again_at_the_next_start(
    folder: Path, judge: Callable[[StandIn], int]
) -> None:
    box = StandIn(folder)
    put(box)
    judge(box.restarted("B", "2.0.0"))
    STARTED.clear()
    assert judge(box.restarted("B", "2.0.0")) == 0 and len(STARTED) == 1
    assert box.whole_wanted() == "2.0.0"


@pytest.mark.parametrize("whole", [True, False])
def test_it_is_begun_at_each_start_until_the_log_was_found_whole(
    folder: Path, judge: Callable[[StandIn], int], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The journal lies in memory: that a log is damaged would be gone with the next start."""
    box = StandIn(folder)
    put(box)
    judge(box.restarted("B", "2.0.0"))
    monkeypatch.setattr("wardgate.update.whole.check_whole", lambda log, told: whole)
    assert command.main(["whole", "-c", "wardgate.toml"], io.StringIO(), io.StringIO()) == (0 if whole else 1)
    STARTED.clear()
    judge(box.restarted("B", "2.0.0"))
    assert bool(STARTED) is not whole


def test_an_ordinary_start_checks_no_whole_log(folder: Path, judge: Callable[[StandIn], int]) -> None:
    assert judge(StandIn(folder)) == 0 and STARTED == []


def test_the_mark_is_on_the_disk_before_the_trial_is_forgotten(folder: Path) -> None:
    class Watched(StandIn):
        def forget(self) -> None:
            assert self.whole_wanted() == "2.0.0"
            super().forget()

    box = Watched(folder)
    put(box)
    assert judged(box.restarted("B", "2.0.0"), lambda: WORKS) is Result.NEWLY_GOOD


def test_what_is_still_to_be_checked_is_shown(folder: Path, judge: Callable[[StandIn], int]) -> None:
    box, out = StandIn(folder), io.StringIO()
    put(box)
    judge(box.restarted("B", "2.0.0"))
    assert command.main(["status", "-c", "wardgate.toml"], out, io.StringIO()) == 0
    assert "custody log: still to be checked whole, since version 2.0.0" in out.getvalue()
