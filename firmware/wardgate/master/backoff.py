"""How long to wait before a process that died is started again. Pure."""

from __future__ import annotations

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 30.0
_WELL_SECONDS = 60.0


class Backoff:
    """Nothing at the first death; then doubling from 0.1 s to 30 s until one has lived for a minute."""

    def __init__(self) -> None:
        self._deaths = 0

    def next_delay(self, lived_seconds: float) -> float:
        """Return the seconds to wait after a process died that had lived `lived_seconds`."""
        if lived_seconds >= _WELL_SECONDS:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        return float(min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(self._deaths - 2, 20)))
