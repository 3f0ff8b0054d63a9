"""What a person is told of formats and copies (`wardgate update status`)."""

from __future__ import annotations

import os

from wardgate.custody.files import read_file
from wardgate.migration import copies as manifests
from wardgate.migration import steps
from wardgate.migration.areas import OWN, ROOTS, Area
from wardgate.migration.copies import MAX_MANIFEST, NUMBER, Copies, CopiesError
from wardgate.migration.journey import KEPT, MANIFEST


def number(root: str) -> int:
    """Return the format of an area. Raises `CopiesError`, `OSError`."""
    try:
        return manifests.parse_number(read_file(os.path.join(root, NUMBER), 32))
    except FileNotFoundError:
        return steps.FIRST


def kept(area: Area, root: str) -> Copies | None:
    """Return the copies that are kept. Raises `CopiesError`, `OSError`."""
    place = os.path.join(root, OWN, KEPT)
    return manifests.read(read_file(os.path.join(place, MANIFEST), MAX_MANIFEST), area) if os.path.isdir(place) else None


def line(area: Area, root: str = "") -> str:
    """Return one line. A vault that is closed has none to show."""
    place = root or ROOTS[area]
    if not os.path.isdir(place) or (not root and area is Area.VAULT and not os.path.ismount(place)):
        return f"format of {area.value}: not open"
    try:
        said = f"format of {area.value}: {number(place)}, this release knows {steps.known(area, steps.STEPS)}"
        held = kept(area, place)
    except (CopiesError, OSError) as error:
        return f"format of {area.value}: cannot be read: {error}"
    return (
        said if held is None else f"{said}; copies kept of {len(held.files) - 1} files, format {held.start}, by {held.release or 'nobody'}"
    )
