"""Calendar dates as seconds. Not by `calendar`, which brings `datetime` and `locale` along: 0.6 MiB in each worker for this."""

from __future__ import annotations

from typing import Final

_TO_1970: Final = 719_468  # days from 0000-03-01, the Gregorian calendar continued backwards


def unix_seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Return the seconds from 1970 to this moment, UTC. Raises `ValueError` for a year or month that there is not."""
    if not (1 <= year <= 9999 and 1 <= month <= 12):
        raise ValueError(f"no date: {year}-{month}")
    whole = year - (month <= 2)  # years begin in March, so that the leap day comes last
    in_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * whole + whole // 4 - whole // 100 + whole // 400 + in_year - _TO_1970
    return ((days * 24 + hour) * 60 + minute) * 60 + second
