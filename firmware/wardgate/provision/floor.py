"""The time floor: no clock is believed that says an earlier time than one that is known to have passed.

The newest of: when the image was built, when the state was signed, what this box once had from a synchronised clock. A board without
a battery starts in 1970 or in the past that somebody chose, and a certificate that has expired since would be good again.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.provision.due import FLOOR, STEP_SECONDS

BUILT: Final = "/usr/share/wardgate/built"  # in the read-only root: Unix seconds of the build
SIGNED: Final = "floor/signed"  # Unix seconds and number of the last manifest that was found good: "SECONDS NUMBER"
_FARTHEST: Final = 1 << 33  # the year 2242: a number beyond it is damage, not time
_NUMBERS: Final = re.compile(rb"[0-9]{1,11}( [0-9]{1,18})?\n?")


class Source(Enum):
    """Where a floor comes from."""

    NONE = "none"
    BUILT = "build"
    SIGNED = "signed state"
    CLOCK = "synchronised clock"


class Floor(NamedTuple):
    """Unix seconds that have passed for certain, and who says so."""

    seconds: int = 0
    source: Source = Source.NONE

    def time(self, clock: float) -> float:
        """Return the time to judge certificates by: never below the floor. `clock`: Unix seconds."""
        return max(clock, float(self.seconds))

    def is_above(self, clock: float) -> bool:
        """Is the clock below the floor, so that it must be wrong?"""
        return clock < self.seconds


def newest(floors: Iterable[Floor]) -> Floor:
    """Return the highest floor, the first of equals."""
    return max(floors, key=lambda floor: floor.seconds, default=Floor())


def read_floor(state: str | os.PathLike[str], built: str | os.PathLike[str] = BUILT) -> Floor:
    """Return the floor of this box. A file that is missing or damaged counts for nothing."""
    places = ((built, Source.BUILT), (os.path.join(state, SIGNED), Source.SIGNED), (os.path.join(state, FLOOR), Source.CLOCK))
    return newest([Floor(), *(Floor(_numbers(path)[0], source) for path, source in places)])


def seen_number(state: str | os.PathLike[str]) -> int:
    """Return the highest number of a signed state that this box has seen."""
    return _numbers(os.path.join(state, SIGNED))[1]


def keep_signed(state: str | os.PathLike[str], signed: int, number: int) -> None:
    """Remember a manifest that was found good. Raises `OSError`."""
    seconds, before = _numbers(os.path.join(state, SIGNED))
    if number > before or signed > seconds:
        _write(os.path.join(state, SIGNED), f"{max(signed, seconds)} {max(number, before)}\n")


def raise_floor(state: str | os.PathLike[str], clock: float, is_synchronised: bool) -> bool:
    """Raise the floor to a clock that something keeps right, when it is an hour ahead; say whether. Raises `OSError`."""
    if not is_synchronised or clock < _numbers(os.path.join(state, FLOOR))[0] + STEP_SECONDS:
        return False
    if not os.path.isdir(os.path.dirname(os.path.join(state, FLOOR))):
        return False  # no image, no floor
    _write(os.path.join(state, FLOOR), f"{int(clock)}\n")
    return True


def shown(floor: Floor, clock: float) -> str:
    """Return what is wrong, for a log line: both times and the source of the floor."""
    said, passed = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) for seconds in (clock, floor.seconds))
    return f"the clock says {said}, the {floor.source.value} {passed}"


def _numbers(path: str | os.PathLike[str]) -> tuple[int, int]:
    try:
        data = read_file(os.fspath(path), 64)
    except OSError:
        return 0, 0
    if not _NUMBERS.fullmatch(data):
        return 0, 0
    first, _, second = data.decode().strip().partition(" ")
    return (int(first), int(second or 0)) if int(first) < _FARTHEST else (0, 0)


def _write(path: str, text: str) -> None:
    write_durably(path, text.encode())
    sync_directory(os.path.dirname(path))
