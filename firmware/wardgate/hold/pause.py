"""How long to wait before a destination is tried again: doubling, with jitter, so that boxes do not all come back at once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 1.0


class Pauses:
    """Of one destination. `random()` gives numbers from 0 to 1."""

    def __init__(self, longest_seconds: float, random: Callable[[], float]) -> None:
        self._longest = longest_seconds
        self._random = random
        self.failures = 0  # in a row
        self.until = 0.0  # monotonic seconds

    def failed(self, now: float) -> float:
        """Return the pause that begins now, seconds: between half and all of 1, 2, 4 ... up to the longest."""
        whole = min(self._longest, FIRST_SECONDS * float(1 << min(self.failures, 30)))
        self.failures += 1
        seconds = whole * (0.5 + 0.5 * self._random())
        self.until = now + seconds
        return seconds

    def worked(self) -> None:
        """Something was delivered, or a person asks to try now."""
        self.failures = 0
        self.until = 0.0
