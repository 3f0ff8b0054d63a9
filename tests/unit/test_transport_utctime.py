"""Calendar dates as seconds, held against the standard library's."""

from __future__ import annotations

import subprocess
import sys
from calendar import monthrange, timegm

import pytest

from wardgate.transport.utctime import unix_seconds


def test_every_day_from_1900_to_2400_has_the_seconds_that_the_calendar_gives_it() -> None:
    for year in range(1900, 2401):
        for month in range(1, 13):
            for day in range(1, monthrange(year, month)[1] + 1):
                assert unix_seconds(year, month, day, 0, 0, 0) == timegm((year, month, day, 0, 0, 0))


@pytest.mark.parametrize(
    "moment", [(1, 1, 1, 0, 0, 0), (1950, 1, 1, 0, 0, 0), (1970, 1, 1, 0, 0, 0), (9999, 12, 31, 23, 59, 59), (2049, 12, 31, 23, 59, 60)]
)
def test_a_moment_has_the_seconds_that_the_calendar_gives_it(moment: tuple[int, int, int, int, int, int]) -> None:
    assert unix_seconds(*moment) == timegm(moment)


@pytest.mark.parametrize("date", [(0, 1, 1), (10_000, 1, 1), (2026, 0, 1), (2026, 13, 1)])
def test_a_year_or_month_that_there_is_not_is_refused(date: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no date"):
        unix_seconds(*date, 0, 0, 0)


@pytest.mark.parametrize(
    ("program", "without"),
    [
        ("wardgate.master.supervisor, wardgate.transport.sockets", "typing"),
        ("wardgate.relay.worker", "calendar"),
        ("wardgate.relay.worker", "datetime"),
    ],
)
def test_a_process_does_not_load_what_it_can_do_without(program: str, without: str) -> None:
    """Each is 0.6 to 1 MiB, on a board with little."""
    check = f"import sys, {program}; sys.exit({without!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
