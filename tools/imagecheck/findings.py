"""What a check says: a mistake, something skipped with its reason, or a line of what held."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parents[2]
EXTERNAL: Final = TREE / "image" / "buildroot"
COMMON: Final = TREE / "image" / "common"


class Findings:
    """Of one run."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.skipped: list[str] = []
        self.held: list[str] = []

    def mistake(self, place: str | Path, text: str) -> None:
        """Something is wrong there."""
        self.mistakes.append(f"{_short(place)}: {text}")

    def skip(self, what: str, reason: str) -> None:
        """A check could not be made."""
        self.skipped.append(f"{what}: {reason}")

    def hold(self, text: str) -> None:
        """A check was made, on this much."""
        self.held.append(text)


def _short(place: str | Path) -> str:
    return str(place.relative_to(TREE)) if isinstance(place, Path) and place.is_relative_to(TREE) else str(place)
