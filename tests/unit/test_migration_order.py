"""Names are on the disk before the next thing depends on them: the order of renames and syncs, forward and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.disklayer import lay_under
from wardgate.log import Log
from wardgate.migration.areas import Area
from wardgate.migration.journey import Journey
from wardgate.migration.steps import Files, Step

OWN = "migration"


def two(_: Files) -> Files:
    return {"one/a": b"new", "two/b": None, "c": b"made"}


STEPS = (Step(Area.STATE, 2, "two", ("one/a", "two/b", "c"), two),)


class Trace:
    """`os` that notes which folders have names that are not synced, and refuses what must not come yet."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._folders: dict[int, str] = {}
        self.unsynced: set[str] = set()
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _place(self, path: str) -> str:
        return os.path.relpath(path, self._root)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        fd = os.open(path, flags, mode)
        self._folders.pop(fd, None)
        if flags & os.O_DIRECTORY:
            self._folders[fd] = self._place(path)
        elif flags & os.O_CREAT:
            self.unsynced.add(self._place(os.path.dirname(path)))
        return fd

    def fsync(self, fd: int) -> None:
        if fd in self._folders:
            self.unsynced.discard(self._folders[fd])

    def rename(self, old: str, new: str) -> None:
        self._changes(new, f"{self._place(old)} -> {self._place(new)}")
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        there = os.path.lexists(path)
        if there and not self._place(path).startswith(f"{OWN}/old/"):  # nobody needs what is in there
            self._changes(path, f"{self._place(path)} removed")
        os.unlink(path)

    def _changes(self, path: str, what: str) -> None:
        folder = self._place(os.path.dirname(path))
        waits_for = self.unsynced if folder == OWN else self.unsynced & {OWN}
        assert not waits_for, f"{what}: names in {sorted(waits_for)} are not on the disk yet"
        self.unsynced.add(folder)
        self.seen.append(what)


@pytest.fixture
def root(folder: Path) -> Path:
    """An area of format 1."""
    for path in ("one/a", "two/b"):
        (folder / path).parent.mkdir()
        (folder / path).write_bytes(b"old")
    return folder


def traced(root: Path, steps: tuple[Step, ...], patch: pytest.MonkeyPatch) -> list[str]:
    trace = Trace(root)
    with patch.context() as context:
        lay_under(context, trace)
        Journey(Area.STATE, str(root), "2.0.0", Log("test")).bring(steps)
    assert OWN not in trace.unsynced
    return trace.seen


def test_forward_the_number_goes_when_every_file_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert traced(root, STEPS, monkeypatch) == [
        "migration/new -> migration/begun",
        "migration/begun/to0 -> one/a",
        "two/b removed",
        "migration/begun/to2 -> c",
        "migration/begun/to3 -> migration/format",
        "migration/begun -> migration/kept",
    ]


def test_back_the_number_goes_when_every_file_is_there_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced(root, STEPS, monkeypatch)
    assert traced(root, (), monkeypatch) == [
        "migration/kept -> migration/back",
        "migration/back/0 -> one/a",
        "migration/back/1 -> two/b",
        "c removed",
        "migration/format removed",
        "migration/back -> migration/old",
    ]
