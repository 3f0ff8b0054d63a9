"""The migrations of this release: numbered steps, each from one format of an area to the next. None was needed so far.

Who writes one: a function of bytes to bytes, that takes a box on which none of its files is there (a new one), and names every file that
the new release writes in another form, also one that it only makes. `image/common/overlay/usr/share/wardgate/migrates` has to be there as
soon as a step is: without it the units do not start. A step stays for ever: a box may come from any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from wardgate.migration.areas import Area, refusal

Files = Mapping[str, bytes | None]  # path below the area -> what is in it; None: it is not there


class Step(NamedTuple):
    """From format `to - 1` to `to`. `apply` gets each of `files`, and returns those that become something else; it may raise anything."""

    area: Area
    to: int
    name: str
    files: tuple[str, ...]
    apply: Callable[[Files], Files]


STEPS: tuple[Step, ...] = ()
FIRST: Final = 1  # the format of an area in which no number stands


def of(area: Area, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps of an area in order. Raises `ValueError`: a gap, or a file that no step may touch."""
    ours = tuple(step for step in steps if step.area is area)
    if [step.to for step in ours] != list(range(FIRST + 1, FIRST + 1 + len(ours))):
        raise ValueError(f"the steps of {area.value} are not numbered {FIRST + 1}, {FIRST + 2}, ...")
    for step in ours:
        for path in step.files:
            if why := refusal(area, path):
                raise ValueError(f"step {step.name}: {path[:80]}: {why.value}")
    return ours


def known(area: Area, steps: tuple[Step, ...]) -> int:
    """Return the format to which the steps lead. Raises `ValueError`."""
    return FIRST + len(of(area, steps))
