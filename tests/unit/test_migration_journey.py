"""A migration on a disk, forward and back: what fails changes nothing, and the older release that comes after a newer one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.journeykit import AFTER_THREE, AFTER_TWO, BEFORE, ONLY_ONE, TWO, UP_TO_THREE, UP_TO_TWO, area, bring, files, journey, own
from wardgate.migration import shown
from wardgate.migration.areas import Area
from wardgate.migration.copies import NUMBER
from wardgate.migration.journey import BACK, BEGUN, KEPT, MigrationStuck
from wardgate.migration.plan import MAX_BYTES, MigrationFailed
from wardgate.migration.steps import Files, Step


@pytest.fixture
def root(folder: Path) -> Path:
    """An area of format 1."""
    return area(folder / "area")


# --- forward and back


def test_a_release_without_steps_writes_nothing(root: Path) -> None:
    assert bring(root, ONLY_ONE).moved == ""
    assert files(root) == BEFORE and own(root) == []


def test_steps_that_are_missing_are_done_once(root: Path) -> None:
    first = bring(root, UP_TO_TWO)
    assert (first.moved, first.at()) == ("1 > 2", 2)
    assert files(root) == AFTER_TWO and own(root) == ["format", "kept"]
    assert bring(root, UP_TO_TWO).moved == "" and files(root) == AFTER_TWO


def test_several_steps_are_one_migration(root: Path) -> None:
    assert bring(root, UP_TO_THREE).moved == "1 > 3"
    assert files(root) == AFTER_THREE
    assert bring(root, ONLY_ONE).put_back == "3 > 1" and files(root) == BEFORE


def test_a_migrated_file_keeps_its_permissions_and_so_does_one_that_is_put_back(root: Path) -> None:
    bring(root, UP_TO_TWO)
    assert (root / "memory/a").stat().st_mode & 0o777 == 0o600 and (root / "memory/new").stat().st_mode & 0o777 == 0o640
    bring(root, ONLY_ONE)
    assert (root / "memory/a").stat().st_mode & 0o777 == 0o600


def test_the_older_release_puts_back_what_a_newer_one_migrated(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bring(root, UP_TO_TWO)
    (root / "memory/new").write_bytes(b"written meanwhile, and lost")
    (root / "memory/same").write_bytes(b"written meanwhile, and kept: no step names it")
    back = bring(root, ONLY_ONE, "1.0.0")
    assert back.put_back == "2 > 1" and back.at() == 1
    assert files(root) == {**BEFORE, "memory/same": b"written meanwhile, and kept: no step names it"}
    assert own(root) == [] and "WG982" in capfd.readouterr().err


def test_it_goes_forward_again_after_it_went_back(root: Path) -> None:
    for _ in range(3):
        assert bring(root, UP_TO_TWO).moved == "1 > 2" and files(root) == AFTER_TWO
        assert bring(root, ONLY_ONE, "1.0.0").put_back == "2 > 1" and files(root) == BEFORE


def test_a_release_in_between_puts_back_and_then_does_its_own_steps(root: Path) -> None:
    """The vault was closed while 2.0.0 was there: 3.0.0 brought it from 1 to 3 when it was opened, and was left."""
    bring(root, UP_TO_THREE, "3.0.0")
    back = bring(root, UP_TO_TWO, "2.0.0")
    assert (back.put_back, back.moved) == ("3 > 1", "1 > 2") and files(root) == AFTER_TWO


def test_from_the_second_format_the_way_leads_back_to_the_second(root: Path) -> None:
    bring(root, UP_TO_TWO, "2.0.0")
    assert bring(root, UP_TO_THREE, "3.0.0").moved == "2 > 3"
    assert bring(root, UP_TO_TWO, "2.0.0").put_back == "3 > 2"
    assert files(root) == AFTER_TWO and journey(root).at() == 2


def test_copies_stay_while_the_release_that_made_them_runs_and_go_with_the_next(root: Path) -> None:
    bring(root, UP_TO_TWO, "2.0.0")
    bring(root, UP_TO_TWO, "2.0.0")
    kept = shown.kept(Area.STATE, str(root))
    assert kept is not None and (kept.start, kept.to, kept.release) == (1, 2, "2.0.0")
    bring(root, UP_TO_TWO, "2.0.1")  # it was written over the slot of the release that knew format 1
    assert own(root) == ["format"] and files(root) == AFTER_TWO and shown.kept(Area.STATE, str(root)) is None


def test_a_new_box_has_the_newest_format_and_no_files(folder: Path) -> None:
    (folder / "memory").mkdir()
    assert bring(folder, (Step(Area.STATE, 2, "two", ("memory/a",), lambda found: {}),)).moved == "1 > 2"
    assert files(folder) == {}


# --- what fails changes nothing


def fails(_: Files) -> Files:
    raise ValueError("a line that is none")


@pytest.mark.parametrize(
    "steps",
    [
        (TWO, Step(Area.STATE, 3, "three", ("memory/a",), fails)),
        (Step(Area.STATE, 2, "large", ("memory/a",), lambda found: {"memory/a": bytes(MAX_BYTES + 1)}),),
        (Step(Area.STATE, 2, "nowhere", ("nowhere/a",), lambda found: {"nowhere/a": b"x"}),),
    ],
    ids=["the second step raises", "too large", "no folder"],
)
def test_a_migration_that_fails_leaves_everything_as_it_was(root: Path, steps: tuple[Step, ...]) -> None:
    with pytest.raises(MigrationFailed):
        bring(root, steps)
    assert files(root) == BEFORE and own(root) == []
    bring(root, ONLY_ONE)
    assert files(root) == BEFORE


def link(place: Path) -> None:
    place.unlink()
    place.symlink_to("same")


def folder_link(place: Path) -> None:
    os.rename(place.parent, place.parent.with_name("elsewhere"))
    place.parent.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [
        link,
        folder_link,
        lambda place: os.link(place, place.with_name("twin")),
        lambda place: (place.unlink(), place.mkdir()),
        lambda place: (place.unlink(), os.mkfifo(place)),
        lambda place: place.write_bytes(bytes(MAX_BYTES + 1)),
        lambda place: os.chown(place, 12345, -1),
    ],
    ids=["a link", "a linked folder", "two names", "a folder", "a pipe", "too large", "another's"],
)
def test_a_file_that_could_not_be_put_back_as_it_was_is_not_migrated(root: Path, spoil: Callable[[Path], Any]) -> None:
    spoil(root / "memory/a")
    before = [(path, path.lstat().st_ino) for path in sorted(root.rglob("*"))]
    with pytest.raises(MigrationFailed):
        bring(root, UP_TO_TWO)
    assert [(path, path.lstat().st_ino) for path in sorted(root.rglob("*"))] == before


# --- what cannot be put back


def test_a_newer_format_without_copies_is_told_and_nothing_is_touched(root: Path) -> None:
    bring(root, UP_TO_TWO)
    bring(root, UP_TO_TWO, "2.0.1")
    with pytest.raises(MigrationStuck, match="no copies"):
        bring(root, ONLY_ONE)
    assert files(root) == AFTER_TWO and journey(root).at() == 2


def spoil_manifest(place: Path) -> None:
    (place / "manifest").write_bytes(b"damaged")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_manifest,
        lambda place: (place / "manifest").unlink(),
        lambda place: (place / "0").write_bytes(b"onE"),
        lambda place: (place / "1").unlink(),
    ],
    ids=["manifest", "no manifest", "a copy changed", "a copy missing"],
)
def test_damaged_copies_are_not_put_back(root: Path, spoil: Callable[[Path], Any]) -> None:
    bring(root, UP_TO_TWO)
    spoil(root / "migration/kept")
    with pytest.raises(MigrationStuck):
        bring(root, ONLY_ONE)
    assert files(root) == AFTER_TWO, "none of them was"
    assert bring(root, UP_TO_TWO).at() == 2, "and the newer release goes on"


def test_damaged_copies_that_nobody_needs_do_not_keep_the_box_from_its_work(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bring(root, UP_TO_TWO)
    spoil_manifest(root / "migration/kept")
    bring(root, UP_TO_TWO)
    assert "WG985" in capfd.readouterr().err and own(root) == ["format"]


@pytest.mark.parametrize("number", [b"", b"two\n", b"0\n", b"9" * 40])
def test_a_number_that_is_none_is_told_and_nothing_is_touched(root: Path, number: bytes) -> None:
    (root / "migration").mkdir()
    (root / NUMBER).write_bytes(number)
    with pytest.raises(MigrationStuck):
        bring(root, UP_TO_TWO)
    assert files(root) == BEFORE


def test_two_sets_of_copies_at_once_are_none(root: Path) -> None:
    bring(root, UP_TO_TWO)
    (root / "migration" / BEGUN).mkdir()
    with pytest.raises(MigrationStuck, match="both there"):
        bring(root, UP_TO_TWO)


def test_a_begun_migration_whose_number_is_neither_is_told(root: Path) -> None:
    bring(root, UP_TO_TWO)
    os.rename(root / "migration" / KEPT, root / "migration" / BEGUN)
    (root / NUMBER).write_bytes(b"7\n")
    with pytest.raises(MigrationStuck):
        bring(root, UP_TO_TWO)


def test_what_a_newer_release_left_half_put_back_is_not_taken_for_whole(root: Path) -> None:
    bring(root, UP_TO_TWO)
    os.rename(root / "migration" / KEPT, root / "migration" / BACK)
    os.rename(root / "migration" / BACK / "0", root / "memory/a")
    assert bring(root, UP_TO_TWO, "2.0.0").moved == "1 > 2"
    assert files(root) == AFTER_TWO
