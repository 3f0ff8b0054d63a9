"""Is there a processor for a thread beside the loop? Told what became of what was handed to it; no clocks in here.

The thread has a processor when it has begun before the loop has sealed and sent the same bytes. When it has not, the loop does the work
itself, at once, while the bytes are in its cache. Then handing over costs something and brings nothing: it is left for a while, and tried
again.
"""

from __future__ import annotations

from typing import Final

MISSES: Final = 4  # more hand-overs in vain than others, lately: no processor is there
SHORTEST: Final = 16  # reads without a hand-over, then
LONGEST: Final = 512  # the same after many trials in vain: some 0.2 s of a worker that is full
KEPT: Final = 16  # hand-overs taken, one after the other, after which the past is forgotten


class Spare:
    """Says before each read whether to hand over."""

    __slots__ = ("_misses", "_pause", "_rest", "_row")

    def __init__(self) -> None:
        self._misses = 0
        self._row = 0  # taken, one after the other
        self._rest = 0  # reads to come without a hand-over
        self._pause = SHORTEST

    def wanted(self) -> bool:
        """Is this read to be handed over?"""
        if self._rest:
            self._rest -= 1
            return False
        return True

    def tell(self, taken: bool) -> None:
        """The thread had begun in time, or the loop had to take it back."""
        if taken:
            self._row += 1
            if self._misses:
                self._misses -= 1
            if self._row >= KEPT:
                self._pause = SHORTEST
            return
        self._row = 0
        self._misses += 1
        if self._misses >= MISSES:
            self._misses = MISSES - 1  # the next trial ends with its first hand-over in vain
            self._rest = self._pause
            self._pause = min(2 * self._pause, LONGEST)
