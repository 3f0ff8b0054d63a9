"""A migration on a disk: every moment at which the power may go, no room, damage, and the older release that comes after a newer one."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.disklayer import lay_under
from wardgate.log import Log
from wardgate.migration import disk, shown
from wardgate.migration.areas import Area
from wardgate.migration.copies import NUMBER
from wardgate.migration.journey import BACK, BEGUN, KEPT, Journey, MigrationStuck
from wardgate.migration.plan import MAX_BYTES, MigrationFailed
from wardgate.migration.steps import Files, Step

Files_ = dict[str, bytes]
BEFORE: Files_ = {"memory/a": b"one", "memory/gone": b"goes", "memory/same": b"stays"}


def make_two(files: Files) -> Files:
    return {"memory/a": (files["memory/a"] or b"") + b"+2", "memory/gone": None, "memory/new": b"made by two"}


def make_three(files: Files) -> Files:
    return {"memory/a": (files["memory/a"] or b"") + b"+3", "other": b"made by three"}


TWO = Step(Area.STATE, 2, "two", ("memory/a", "memory/gone", "memory/new"), make_two)
THREE = Step(Area.STATE, 3, "three", ("memory/a", "other"), make_three)
AFTER_TWO: Files_ = {"memory/a": b"one+2", "memory/same": b"stays", "memory/new": b"made by two"}
AFTER_THREE: Files_ = {"memory/a": b"one+2+3", "memory/same": b"stays", "memory/new": b"made by two", "other": b"made by three"}
ONLY_ONE, UP_TO_TWO, UP_TO_THREE = (), (TWO,), (TWO, THREE)


@pytest.fixture
def root(folder: Path) -> Path:
    """An area of format 1."""
    return area(folder / "area")


def area(root: Path) -> Path:
    for path, data in BEFORE.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o600)
    return root


def journey(root: Path, release: str = "2.0.0") -> Journey:
    return Journey(Area.STATE, str(root), release, Log("test"))


def bring(root: Path, steps: tuple[Step, ...], release: str = "2.0.0") -> Journey:
    made = journey(root, release)
    made.bring(steps)
    return made


def files(root: Path) -> Files_:
    """All files of the area but the engine's own."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "migration" not in path.parts[len(root.parts) :]
    }


def own(root: Path) -> list[str]:
    return sorted(os.listdir(root / "migration")) if (root / "migration").exists() else []


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


# --- the power goes


class PowerCut(BaseException):
    """Nothing after this happened."""


class Cut:
    """`os` for the module under test: does `left` operations that change the disk, then none. What was not synced is torn."""

    def __init__(self, left: int, chance: random.Random | None = None, root: Path | None = None) -> None:
        self.left, self.chance, self.root = left, chance, root
        self.done = 0
        self._torn: set[int] = set()  # inodes of files that were written and not synced

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _count(self) -> None:
        if self.left == 0:
            self._tear()
            raise PowerCut
        self.left -= 1
        self.done += 1

    def _tear(self) -> None:
        if self.chance is None or self.root is None:
            return
        for path in self.root.rglob("*"):
            if path.is_file() and path.stat().st_ino in self._torn:
                os.truncate(path, self.chance.randrange(path.stat().st_size or 1))

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._count()
        fd = os.open(path, flags, mode)
        if flags & os.O_CREAT:
            self._torn.add(os.fstat(fd).st_ino)
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        self._count()
        return os.write(fd, data[: max(1, len(data) // 2)])  # a kernel may take less

    def fsync(self, fd: int) -> None:
        self._count()
        self._torn.discard(os.fstat(fd).st_ino)

    def rename(self, old: str, new: str) -> None:
        self._count()
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        if os.path.lexists(path):
            self._count()
        os.unlink(path)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self._count()
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        self._count()
        os.rmdir(path)


def operations(do: Callable[[], Any], patch: pytest.MonkeyPatch) -> int:
    counting = Cut(1 << 30)
    with patch.context() as context:
        lay_under(context, counting)
        do()
    return counting.done


def cut_after(count: int, root: Path, steps: tuple[Step, ...], release: str, patch: pytest.MonkeyPatch) -> None:
    """The power goes after so many changes to the disk; at its end too, when there were fewer."""
    cut = Cut(count, random.Random(count), root)
    with patch.context() as context:
        lay_under(context, cut)
        with contextlib.suppress(PowerCut):
            bring(root, steps, release)
            cut._tear()


def test_the_next_start_of_the_new_release_has_the_new_files_wherever_the_power_went(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = operations(lambda: bring(area(folder / "whole"), UP_TO_TWO), monkeypatch)
    assert count > 30
    for moment in range(count + 1):
        root = area(folder / str(moment))
        cut_after(moment, root, UP_TO_TWO, "2.0.0", monkeypatch)
        bring(root, UP_TO_TWO)
        assert files(root) == AFTER_TWO and own(root) == ["format", "kept"], moment


def test_the_next_start_of_the_old_release_has_the_old_files_wherever_the_power_went(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = operations(lambda: bring(area(folder / "whole"), UP_TO_TWO), monkeypatch)
    for moment in range(count + 1):
        root = area(folder / str(moment))
        cut_after(moment, root, UP_TO_TWO, "2.0.0", monkeypatch)
        bring(root, ONLY_ONE, "1.0.0")
        assert files(root) == BEFORE and own(root) == [], moment


def test_a_second_migration_that_is_cut_leads_back_to_the_second_format_never_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = area(folder / "whole")
    bring(root, UP_TO_TWO)
    count = operations(lambda: bring(root, UP_TO_THREE, "3.0.0"), monkeypatch)
    for moment in range(count + 1):
        root = area(folder / str(moment))
        bring(root, UP_TO_TWO)
        cut_after(moment, root, UP_TO_THREE, "3.0.0", monkeypatch)
        bring(root, UP_TO_TWO)
        assert files(root) == AFTER_TWO and journey(root).at() == 2, moment


def test_a_way_back_that_is_cut_is_gone_to_its_end_by_either_release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = area(folder / "whole")
    bring(root, UP_TO_TWO)
    count = operations(lambda: bring(root, ONLY_ONE, "1.0.0"), monkeypatch)
    for moment in range(count + 1):
        for steps, wanted in ((ONLY_ONE, BEFORE), (UP_TO_TWO, AFTER_TWO)):
            root = area(folder / f"{moment}-{len(steps)}")
            bring(root, UP_TO_TWO)
            cut_after(moment, root, ONLY_ONE, "1.0.0", monkeypatch)
            bring(root, steps)
            assert files(root) == wanted, (moment, len(steps))


def test_the_power_that_goes_again_and_again_leaves_old_or_new_and_never_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment of the migration, then at every moment of the start after it; at the end whichever release comes."""
    count = operations(lambda: bring(area(folder / "whole"), UP_TO_TWO), monkeypatch)
    states = 0
    for first in range(count + 1):
        for second in range(0, 2 * count, 7):
            root = area(folder / f"{first}-{second}")
            cut_after(first, root, UP_TO_TWO, "2.0.0", monkeypatch)
            cut_after(second, root, ONLY_ONE if second % 2 else UP_TO_TWO, "2.0.0", monkeypatch)
            steps, wanted = (ONLY_ONE, BEFORE) if first % 2 else (UP_TO_TWO, AFTER_TWO)
            bring(root, steps)
            assert files(root) == wanted, (first, second)
            states += 1
    assert states > 200


# --- the disk says no


class NoRoom(Cut):
    """Every write beyond the first ones fails, and so does every other change when `all_changes`."""

    def __init__(self, left: int, all_changes: bool = False) -> None:
        super().__init__(left)
        self.all_changes, self.full = all_changes, False

    def _count(self) -> None:
        if self.left == 0 and self.all_changes:
            raise OSError(errno.EIO, "the disk fails")
        self.left = max(0, self.left - 1)
        self.done += 1

    def write(self, fd: int, data: memoryview) -> int:
        if self.left == 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(fd, data)


def test_a_disk_without_room_is_found_before_anything_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = 0
    for moment in range(200):
        root = area(folder / str(moment))
        with monkeypatch.context() as context:
            lay_under(context, NoRoom(moment))
            try:
                bring(root, UP_TO_TWO)
            except MigrationFailed:
                failed += 1
                assert files(root) == BEFORE and own(root) == [], moment
                continue
        assert files(root) == AFTER_TWO
        break
    assert failed > 10


def test_a_full_disk_does_not_keep_the_copies_from_being_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(root, UP_TO_TWO)
    lay_under(monkeypatch, NoRoom(0))
    assert bring(root, ONLY_ONE).put_back == "2 > 1" and files(root) == BEFORE


def test_a_disk_that_fails_at_any_moment_leaves_old_or_new_or_is_mended_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = 0
    for moment in range(200):
        root = area(folder / str(moment))
        with monkeypatch.context() as context:
            lay_under(context, NoRoom(moment, all_changes=True))
            try:
                done = bring(root, UP_TO_TWO).moved
            except MigrationFailed:
                assert files(root) == BEFORE, moment
                done = ""
            except MigrationStuck:  # it could not be put back either: the disk fails for good
                stuck += 1
                done = ""
        if done:
            assert files(root) == AFTER_TWO
        bring(root, ONLY_ONE if moment % 2 else UP_TO_TWO)
        assert files(root) == (BEFORE if moment % 2 else AFTER_TWO), moment
        if done and moment > 100:
            break
    assert stuck > 0


def test_one_failure_in_the_middle_is_put_back_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that fails once: the copies are put back in the same start."""
    for broken in ("memory/a", "memory/new", "migration/format"):
        root = area(folder / broken.replace("/", "-"))
        real = disk.move
        said: list[str] = []

        def move(old: str, new: str, said: list[str] = said, broken: str = broken, real: Callable[[str, str], None] = real) -> None:
            if new.endswith(broken) and not said:
                said.append(new)
                raise OSError(errno.EIO, "the disk fails")
            real(old, new)

        with monkeypatch.context() as context:
            context.setattr(disk, "move", move)
            with pytest.raises(MigrationFailed):
                bring(root, UP_TO_TWO)
        assert said and files(root) == BEFORE and own(root) == []


def test_what_a_newer_release_left_half_put_back_is_not_taken_for_whole(root: Path) -> None:
    bring(root, UP_TO_TWO)
    os.rename(root / "migration" / KEPT, root / "migration" / BACK)
    os.rename(root / "migration" / BACK / "0", root / "memory/a")
    assert bring(root, UP_TO_TWO, "2.0.0").moved == "1 > 2"
    assert files(root) == AFTER_TWO
