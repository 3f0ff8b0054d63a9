"""A migration on a disk that ends with the power, has no room or fails: at every moment old files or new ones, never both."""

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
from support.journeykit import AFTER_TWO, BEFORE, ONLY_ONE, UP_TO_THREE, UP_TO_TWO, area, bring, files, journey, own
from wardgate.migration import disk
from wardgate.migration.journey import MigrationStuck
from wardgate.migration.plan import MigrationFailed
from wardgate.migration.steps import Step

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


def test_a_full_disk_does_not_keep_the_copies_from_being_put_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = area(folder / "area")
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
