"""The program that the units run, and who hears of it: the judge of a slot on trial, the record of a roll back, named states, a person."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.codes import Code
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.migration import shown, steps, verdict
from wardgate.migration.__main__ import main
from wardgate.migration.areas import Area
from wardgate.migration.steps import Files, Step
from wardgate.provision import kept, release
from wardgate.provision.standing import Places, Standing, look
from wardgate.update import command, judging, probes
from wardgate.update.box import Box
from wardgate.update.judge import CUSTODY, MIGRATION, SERVICE, VAULT, Outcome, Seen, Verdict, judge
from wardgate.update.trial import Phase, Side, Trial


def add(files: Files) -> Files:
    return {"memory": (files["memory"] or b"") + b"2"}


def fails(_: Files) -> Files:
    raise ValueError("a line that is none")


WORKS = (Step(Area.STATE, 2, "two", ("memory",), add), Step(Area.VAULT, 2, "two", ("memory",), add))
FAILS = (Step(Area.STATE, 2, "two", ("memory",), fails),)


class Home:
    """State, vault and verdicts of a box, and what its release can."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.state, self.vault, self.verdicts = folder / "state", folder / "vault", folder / "verdicts"
        for made in (self.state / "kept", self.vault, self.verdicts):
            made.mkdir(parents=True)
        for area in (self.state, self.vault):
            (area / "memory").write_bytes(b"1")
        self.runs("1.0.0", ())

    def runs(self, version: str, known: tuple[Step, ...]) -> None:
        (self.folder / "os-release").write_text(f'IMAGE_VERSION="{version}"\n')
        self._patch.setattr(release.word, "__defaults__", (str(self.folder / "os-release"),))
        self._patch.setattr(steps, "STEPS", known)
        for left in self.verdicts.iterdir():  # in memory: a start has none
            left.unlink()

    def migrate(self, area: Area = Area.STATE) -> int:
        root = self.state if area is Area.STATE else self.vault
        return main([area.value, "--root", str(root), "--state", str(self.state), "--verdicts", str(self.verdicts)])

    def kept(self) -> list[tuple[str, str, str]]:
        return [(one.event.value, one.code, one.detail) for one in kept.waiting(self.state, "ward", 0, Quality.UNKNOWN)]

    def standing(self) -> list[Standing]:
        places = Places(partition=str(self.folder / "none"), state=str(self.state), verdicts=str(self.verdicts))
        return [one.standing for one in look(places, 1e10)]


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A box that never migrated."""
    return Home(folder, monkeypatch)


def test_a_migration_that_works_is_no_matter_for_anybody(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    home.runs("2.0.0", WORKS)
    assert home.migrate() == home.migrate(Area.VAULT) == 0
    assert home.standing() == [] and home.kept() == [] and probes.migrations(str(home.verdicts)) == {}
    assert capfd.readouterr().err.count("WG980") == 2 and (home.vault / "memory").read_bytes() == b"12"


def test_one_that_fails_is_a_named_state_and_a_check_that_contradicts(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    home.runs("2.0.0", FAILS)
    assert home.migrate() == 1
    assert home.standing() == [Standing.MIGRATION_FAILED]
    assert probes.migrations(str(home.verdicts)) == {MIGRATION: Outcome.CONTRADICTS}
    said = capfd.readouterr().err
    assert "WG981" in said and "a line that is none" in said and (home.state / "memory").read_bytes() == b"1"


def test_a_format_that_nobody_knows_is_a_state_of_its_own(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    (home.state / "migration").mkdir()
    (home.state / "migration/format").write_text("9\n")
    assert home.migrate() == 1 and home.standing() == [Standing.MIGRATION_STUCK]
    assert probes.migrations(str(home.verdicts)) == {MIGRATION: Outcome.CONTRADICTS}
    assert "WG983" in capfd.readouterr().err


@pytest.mark.parametrize("wrong", [(Step(Area.STATE, 3, "gap", (), add),), (Step(Area.STATE, 2, "record", ("kept/1.json",), add),)])
def test_steps_that_are_none_fail_like_one_that_raises(home: Home, wrong: tuple[Step, ...]) -> None:
    home.runs("2.0.0", wrong)
    assert home.migrate() == 1 and home.standing() == [Standing.MIGRATION_FAILED]


def test_a_fault_of_our_own_leaves_a_verdict_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.migration.journey.Journey.bring", lambda *_: 1 / 0)
    assert home.migrate() == 1 and home.standing() == [Standing.MIGRATION_STUCK]


def test_what_was_put_back_is_kept_for_the_log_and_told_to_the_judge(home: Home) -> None:
    home.runs("2.0.0", WORKS)
    home.migrate()
    home.migrate(Area.VAULT)
    home.runs("1.0.0", ())
    assert home.migrate() == home.migrate(Area.VAULT) == 0
    assert home.kept() == [("files-put-back", "WG982", "state 2 > 1"), ("files-put-back", "WG982", "vault 2 > 1")]
    box = Box(Log("test"), str(home.state), verdicts=str(home.verdicts))
    assert box.put_back() == "state 2 > 1, vault 2 > 1"
    home.runs("1.0.0", ())
    home.migrate()
    assert box.put_back() == "" and len(home.kept()) == 2, "once"


def test_a_box_without_room_for_the_event_puts_back_all_the_same(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    home.runs("2.0.0", WORKS)
    home.migrate()
    home.runs("1.0.0", ())
    (home.state / "kept").rmdir()
    assert home.migrate() == 0 and "WG939" in capfd.readouterr().err and (home.state / "memory").read_bytes() == b"1"


# --- the judge


@pytest.mark.parametrize("baseline", [frozenset(), frozenset({SERVICE, CUSTODY, VAULT})])
@pytest.mark.parametrize("waited", [0.0, 300.0])
@pytest.mark.parametrize("service", Outcome)
def test_a_slot_whose_migration_failed_is_bad_at_once_and_nothing_else_is_named(
    baseline: frozenset[str], waited: float, service: Outcome
) -> None:
    made = judge(baseline, 5, Seen({SERVICE: service, MIGRATION: Outcome.CONTRADICTS}, None), waited, 300.0)
    assert (made.verdict, made.missing) == (Verdict.BAD, (MIGRATION,))


def test_without_a_configuration_that_can_be_read_the_migration_is_still_asked_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.runs("2.0.0", FAILS)
    home.migrate()
    monkeypatch.setattr(probes.migrations, "__defaults__", (str(home.verdicts),))
    seen: list[Seen] = []

    def after_start(box: Any, config: Any, log: Any, look: Any) -> judging.Result:
        seen.append(look())
        return judging.Result.START_AGAIN

    monkeypatch.setattr(judging, "after_start", after_start)
    config = home.folder / "wardgate.toml"
    config.write_text("[nothing]\n")
    assert command.main(["judge", "-c", str(config)], io.StringIO(), io.StringIO()) == command.START_AGAIN
    assert seen[0].checks[MIGRATION] is Outcome.CONTRADICTS


class Back(Box):
    """The old slot, after a roll back."""

    def __init__(self, home: Home) -> None:
        super().__init__(Log("test"), str(home.state / "update"), verdicts=str(home.verdicts))
        self.told: list[tuple[str, str]] = []

    def slot(self) -> str:
        return "A"

    def boot(self) -> str:
        return "boot-3"

    def version(self) -> str:
        return "1.0.0"

    def mark(self, *, good: bool) -> None:
        assert good

    def record(self, config: Any, event: str, old: Side, new: Side, code: Code, detail: str = "", ident: bytes | None = None) -> None:
        self.told.append((event, detail))


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        ((SERVICE,), "files put back: state 2 > 1; missing: service"),
        ((), "files put back: state 2 > 1; the new slot did not start, or did not come so far"),
    ],
)
def test_the_record_of_a_roll_back_says_which_files_were_put_back(home: Home, missing: tuple[str, ...], wanted: str) -> None:
    home.runs("2.0.0", WORKS)
    home.migrate()
    home.runs("1.0.0", ())
    home.migrate()
    (home.state / "update").mkdir()
    box = Back(home)
    box.keep(Trial(Phase.FAILED, "boot-1", Side("A", "1.0.0"), Side("B", "2.0.0"), frozenset({SERVICE}), missing=missing))
    config = SimpleNamespace(box=SimpleNamespace(trial_seconds=0))
    assert judging.after_start(box, config, Log("test"), lambda: Seen({}, None)) is judging.Result.STAYS  # type: ignore[arg-type]
    assert box.told == [("rolled-back", wanted)]


# --- what a person is told


def test_status_shows_formats_and_copies(home: Home) -> None:
    assert shown.line(Area.STATE, str(home.state)) == "format of state: 1, this release knows 1"
    home.runs("2.0.0", WORKS)
    home.migrate()
    assert shown.line(Area.STATE, str(home.state)).endswith("2, this release knows 2; copies kept of 1 files, format 1, by 2.0.0")
    (home.state / "migration/kept/manifest").write_bytes(b"damaged")
    assert shown.line(Area.STATE, str(home.state)) == "format of state: cannot be read: the manifest is damaged"
    assert shown.line(Area.VAULT, str(home.folder / "closed")) == "format of vault: not open"


def test_a_verdict_is_of_its_own_area(home: Home) -> None:
    verdict.say(Area.VAULT, Code.MIGRATION_FAILED, "why", "", str(home.verdicts))
    assert verdict.read(str(home.verdicts)) == [verdict.Verdict(Area.VAULT, True, "")]
    assert verdict.read(str(home.folder / "none")) == []
