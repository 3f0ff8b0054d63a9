"""What a destination's status means for a held instance (PS3.4 B.2.3, PS3.7 annex C). Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Meaning(Enum):
    """What happens next."""

    TAKEN = "taken"  # the destination has it: remove it here
    LATER = "later"  # it could pass another time
    NEVER = "never"  # refused for good: quarantine


_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 C.4
_PASSING: Final = frozenset({0x0110, 0x0210, 0x0213})  # PS3.7 C.5: processing failure, duplicate invocation, resource limitation


def meaning(status: int) -> Meaning:
    """Return what a C-STORE status means."""
    if status == 0 or 0xB000 <= status <= 0xBFFF or status in _WARNINGS:
        return Meaning.TAKEN
    if 0xA700 <= status <= 0xA7FF or status in _PASSING:
        return Meaning.LATER
    return Meaning.NEVER
