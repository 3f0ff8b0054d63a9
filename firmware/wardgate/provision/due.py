"""Is there something for the log to take? Asked often, by the master, which stays small: hardly an import."""

from __future__ import annotations

import os
import time

FLOOR = "floor/time"  # Unix seconds, below the state partition
STEP_SECONDS = 3600  # how far the clock must be ahead before the floor is raised: the flash is written once an hour at most
FOLDER = "kept"
LOST = "lost"  # how many events found no room


def is_waiting(state: str | os.PathLike[str]) -> bool:
    """Does an event wait below `state`?"""
    try:
        names = os.listdir(os.path.join(state, FOLDER))
    except OSError:
        return False
    return any(name == LOST or name.endswith(".json") for name in names)


def is_floor_old(state: str | os.PathLike[str]) -> bool:
    """Was the floor last written over an hour ago (or never), and is there a place for it?"""
    path = os.path.join(state, FLOOR)
    try:
        return time.time() >= os.stat(path).st_mtime + STEP_SECONDS
    except OSError:
        return os.path.isdir(os.path.dirname(path))
