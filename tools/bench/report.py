"""The table: one line a figure, with what must be reached beside it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Sense(Enum):
    """Which way is better."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class Line(NamedTuple):
    """One figure. `values`: one a round; `second`: the same against HAProxy. `must` None: shown for comparison only."""

    row: str
    figure: str
    values: Sequence[float]
    second: Sequence[float] = ()
    sense: Sense = Sense.AT_LEAST
    must: float | None = None
    note: str = ""
    unit: str = ""

    @property
    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the figure reaches what it must."""
        if self.must is None:
            return ""
        if not self.values:
            return "not measured"
        reached = self.median >= self.must if self.sense is Sense.AT_LEAST else self.median <= self.must
        return "yes" if reached else "NO"


def number(value: float) -> str:
    """Return a count as it is, else three significant digits, at most two after the point."""
    if isinstance(value, int):
        return str(value)
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cells(line: Line) -> list[str]:
    values = [*line.values]
    measured = f"{number(line.median)}{line.unit}" if values else "-"
    spread = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
    second = number(statistics.median(line.second)) if line.second else ""
    must = "" if line.must is None else f"{line.sense.value} {number(line.must)}{line.unit}"
    return [line.row, line.figure, measured, spread, second, must, line.verdict, line.note]


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table that also reads well as text."""
    head = ["#", "figure", "measured", "least to most", "vs HAProxy", "must", "met", "note"]
    rows = [head, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(drawn)
