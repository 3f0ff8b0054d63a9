"""An area with a few files, and steps that migrate it: what the tests of a migration's journey share."""

from __future__ import annotations

import os
from pathlib import Path

from wardgate.log import Log
from wardgate.migration.areas import Area
from wardgate.migration.journey import Journey
from wardgate.migration.steps import Files, Step

Files_ = dict[str, bytes]
BEFORE: Files_ = {"memory/a": b"one", "memory/gone": b"goes", "memory/same": b"stays"}


def make_two(files: Files) -> Files:
    """The step to format 2: one file changes, one goes, one is new."""
    return {"memory/a": (files["memory/a"] or b"") + b"+2", "memory/gone": None, "memory/new": b"made by two"}


def make_three(files: Files) -> Files:
    """The step to format 3."""
    return {"memory/a": (files["memory/a"] or b"") + b"+3", "other": b"made by three"}


TWO = Step(Area.STATE, 2, "two", ("memory/a", "memory/gone", "memory/new"), make_two)
THREE = Step(Area.STATE, 3, "three", ("memory/a", "other"), make_three)
AFTER_TWO: Files_ = {"memory/a": b"one+2", "memory/same": b"stays", "memory/new": b"made by two"}
AFTER_THREE: Files_ = {"memory/a": b"one+2+3", "memory/same": b"stays", "memory/new": b"made by two", "other": b"made by three"}
ONLY_ONE, UP_TO_TWO, UP_TO_THREE = (), (TWO,), (TWO, THREE)


def area(root: Path) -> Path:
    """Make an area of format 1 at `root`."""
    for path, data in BEFORE.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o600)
    return root


def journey(root: Path, release: str = "2.0.0") -> Journey:
    """Return the journey of `release` in the area at `root`."""
    return Journey(Area.STATE, str(root), release, Log("test"))


def bring(root: Path, steps: tuple[Step, ...], release: str = "2.0.0") -> Journey:
    """Have `release`, which knows `steps`, bring the area at `root` to its format."""
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
    """The engine's own files in the area."""
    return sorted(os.listdir(root / "migration")) if (root / "migration").exists() else []
