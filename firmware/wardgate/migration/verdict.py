"""What became of the migration of each area in this start, in memory: for the judge of a slot on trial and for the named states."""

from __future__ import annotations

from typing import NamedTuple

from wardgate.codes import Code
from wardgate.migration.areas import Area
from wardgate.provision import standing


class Verdict(NamedTuple):
    """Of one area. `failed`: it is not of this release's format; `put_back`: "2 > 1", or ""."""

    area: Area
    failed: bool
    put_back: str


def say(area: Area, code: Code | None, why: str, put_back: str, folder: str = standing.VERDICTS) -> None:
    """Leave it. `code`: None when the area is as this release wants it."""
    stuck = code is Code.MIGRATION_STUCK
    standing.say(
        standing.migration(area.value), code is None, f"{area.value}: {why}" if why else "", folder, put_back=put_back, stuck=stuck
    )


def read(folder: str = standing.VERDICTS) -> list[Verdict]:
    """Return those that were left: an area whose unit had nothing to do says nothing."""
    found = []
    for area in Area:
        said = standing.verdict(standing.migration(area.value), folder)
        if said is not None:
            found.append(Verdict(area, not said.get("good", True), str(said.get("put_back", ""))))
    return found
