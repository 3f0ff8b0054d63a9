"""The time of records and how far it can be trusted: the kernel's word (adjtimex), asked at most every few seconds."""

from __future__ import annotations

import time
from typing import Final

from wardgate.custody.record import Quality

_ASK_SECONDS: Final = 5.0
_TIMEX_BYTES: Final = 512  # struct timex has 208 on 64-bit Linux; room to spare, the kernel writes only its own size
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised


class Clock:
    """UTC nanoseconds and their quality."""

    def __init__(self) -> None:
        self._quality = Quality.UNKNOWN
        self._asked = float("-inf")

    def now(self) -> tuple[int, Quality]:
        """Return (UTC nanoseconds since 1970, quality)."""
        moment = time.monotonic()
        if moment - self._asked > _ASK_SECONDS:
            self._asked = moment
            self._quality = kernel_quality()
        return time.time_ns(), self._quality


def kernel_quality() -> Quality:
    """Ask the kernel whether something keeps the clock synchronised."""
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        answer = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: reads, sets nothing
    except (ImportError, OSError, AttributeError):
        return Quality.UNKNOWN
    if answer < 0:
        return Quality.UNKNOWN
    return Quality.UNSYNCHRONISED if answer == _TIME_ERROR else Quality.SYNCHRONISED
