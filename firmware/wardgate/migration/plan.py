"""What a migration will change, all of it thought out before the first byte is written. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from wardgate.migration.steps import Step

MAX_FILES: Final = 64
MAX_BYTES: Final = 16 << 20  # of all files together, before and after each


class MigrationFailed(Exception):
    """The area is as it was before."""


class Plan(NamedTuple):
    """From format `start` to `to`: each file that a step names, before and after; None: not there."""

    start: int
    to: int
    before: dict[str, bytes | None]
    after: dict[str, bytes | None]


def plan(steps: tuple[Step, ...], at: int, read: Callable[[str], bytes | None]) -> Plan:
    """Return what the steps beyond format `at` make of the files that `read` gives. Raises `MigrationFailed`, and what `read` raises."""
    left = [step for step in steps if step.to > at]
    paths = list(dict.fromkeys(path for step in left for path in step.files))
    if len(paths) > MAX_FILES:
        raise MigrationFailed(f"{len(paths)} files, and {MAX_FILES} may be")
    before: dict[str, bytes | None] = {}
    for path in paths:
        before[path] = read(path)
        _within(before, "are there")
    after = dict(before)
    for step in left:
        after |= _applied(step, {path: after[path] for path in step.files})
        _within(after, f"step {step.name} makes")
    return Plan(at, left[-1].to if left else at, before, after)


def _applied(step: Step, files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    try:
        made = dict(step.apply(files))
    except Exception as error:  # whatever it is: nothing was written yet
        raise MigrationFailed(f"step {step.name}: {type(error).__name__}: {error}") from error
    for path, data in made.items():
        if path not in files:
            raise MigrationFailed(f"step {step.name}: {path!r:.80} is none of its files")
        if data is not None and type(data) is not bytes:
            raise MigrationFailed(f"step {step.name}: {path}: {type(data).__name__} is not bytes")
    return made


def _within(files: dict[str, bytes | None], who: str) -> None:
    size = sum(len(data) for data in files.values() if data is not None)
    if size > MAX_BYTES:
        raise MigrationFailed(f"{who} {size} bytes, and {MAX_BYTES} may be")
