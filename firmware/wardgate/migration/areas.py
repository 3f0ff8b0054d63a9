"""Where a release may migrate files, and which files never."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

OWN: Final = "migration"  # the folder of each area in which number and copies lie


class Area(Enum):
    """A place with a format number of its own. The value is its name in manifests and on the command line."""

    STATE = "state"  # open at every start
    VAULT = "vault"  # the gateway's part of the vault, which may open later, or not


ROOTS: Final = {Area.STATE: "/state", Area.VAULT: "/vault/wardgate"}


class Why(Enum):
    """Why a file is never migrated."""

    SIGNED = "people signed or brought it: it is translated when it is read"
    RECORD = "records, or what waits to become one: both releases read it as it is"
    FORWARD = "it must never go back in time, and a copy that is put back does"
    TRIAL = "what two releases tell each other of an update"
    OWN = "the number and the copies themselves"
    OUTSIDE = "no path of small letters within the area"
    FOLDER = "policy may name any folder of the vault as log, queue or spool"


# First part of the path -> why not.
_REFUSED: Final = {
    Area.STATE: {
        "manifest": Why.SIGNED, "wardgate": Why.SIGNED, "wardkeys": Why.SIGNED, "network": Why.SIGNED, "kept": Why.RECORD,
        "wardnetd": Why.RECORD, "floor": Why.FORWARD, "wardvault": Why.FORWARD, "update": Why.TRIAL, OWN: Why.OWN,
    },
    # The last three: a log whose folder is the whole area.
    Area.VAULT: {
        "custody": Why.RECORD, "hold": Why.RECORD, "audit": Why.RECORD, "checkpoint": Why.RECORD, "tile": Why.RECORD, "lock": Why.RECORD,
        "hawkbit.token": Why.SIGNED, OWN: Why.OWN,
    },
}  # fmt: skip
_PATH: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63}){0,3}")


def refusal(area: Area, path: str) -> Why | None:
    """Return why no step may touch the file at `path` below the area, None when one may."""
    if not _PATH.fullmatch(path):
        return Why.OUTSIDE
    first, _, rest = path.partition("/")
    if first in _REFUSED[area]:
        return _REFUSED[area][first]
    return Why.FOLDER if area is Area.VAULT and rest else None
