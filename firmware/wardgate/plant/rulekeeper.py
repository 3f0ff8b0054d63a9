"""Keeps the rule set: checked before it is applied, whole or not at all, put back when it is not confirmed.

What a counter had reached when it was deleted is added here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from wardgate.plant.programs import ProgramError, nft_apply, nft_check, nft_json
from wardgate.plant.refill import TABLE, refill

FAMILIES = ("bridge", "inet")
Noted = tuple[str, tuple[str, str, str, int]]  # set name; source, destination, protocol, port


class RuleKeeper:
    """The rule set in force, the one before it while the new one waits to be confirmed."""

    def __init__(self) -> None:
        self.current = ""
        self._before = ""
        self._until = 0.0
        self._past: Counter[str] = Counter()

    def apply(self, text: str, now: float = 0.0, confirm_seconds: float = 0.0) -> None:
        """Check and apply; with `confirm_seconds` it must be confirmed by then. Raises `ProgramError`: the old one holds."""
        rows = _listed()
        if not self._refill(text, rows):
            nft_check(text)
            nft_apply(text)
            counters, seen = _read(rows)
            self._past.update(counters)
            _put_back(seen)
        if confirm_seconds and self.current and not self._before:
            self._before, self._until = self.current, now + confirm_seconds
        self.current = text

    def _refill(self, text: str, rows: dict[str, list[dict[str, Any]]]) -> bool:
        """Apply a rule set without a moment between the old and the new one; False when the tables are not as they should be."""
        change = refill(text, rows)
        if not change:
            return False
        try:
            nft_check(change)
            nft_apply(change)
        except ProgramError:  # a set of another type, from another version: they have to be made anew, or the text is wrong
            return False
        kept = _read(_listed())[0]
        self._past.update({name: count for name, count in _read(rows)[0].items() if name not in kept})
        return True

    @property
    def waiting(self) -> bool:
        """Tell whether a rule set waits to be confirmed."""
        return bool(self._before)

    def confirm(self) -> None:
        """Keep the rule set in force."""
        self._before = ""

    def restore_if_late(self, now: float) -> bool:
        """Put the one before back when nobody has confirmed in time; tell whether that happened. Raises `ProgramError`."""
        if not self._before or now < self._until:
            return False
        self.apply(self._before)  # raises: it waits still, and is put back at the next look
        self._before = ""
        return True

    def read(self) -> tuple[dict[str, int], list[Noted]]:
        """Return packets by counter since `netd` began, and what is noted as refused."""
        now, seen = read()
        return {name: self._past[name] + now.get(name, 0) for name in {**self._past, **now}}, seen


def read() -> tuple[dict[str, int], list[Noted]]:
    """Return packets by counter of the rule set in force, and what was noted as refused; one program a table."""
    return _read(_listed())


def _listed() -> dict[str, list[dict[str, Any]]]:
    return {family: nft_json("table", family, TABLE) for family in FAMILIES}


def _read(rows: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, int], list[Noted]]:
    counters: Counter[str] = Counter()
    seen: list[Noted] = []
    for row in (row for table in rows.values() for row in table):
        if "counter" in row:
            counters[row["counter"]["name"]] += row["counter"]["packets"]
        elif row.get("set", {}).get("name", "").startswith("seen_"):
            seen += _noted(row["set"])
    return dict(counters), seen


def _noted(row: dict[str, Any]) -> Iterator[Noted]:
    for element in row.get("elem", []):
        value: Any = element.get("elem", {}).get("val", element) if isinstance(element, dict) else element
        concat = value.get("concat") if isinstance(value, dict) else None
        if concat and len(concat) == 4:
            yield row["name"], (str(concat[0]), str(concat[1]), str(concat[2]), int(concat[3]))


def _put_back(seen: list[Noted]) -> None:
    lines = [f"add element bridge wardgate {name} {{ {' . '.join(map(str, flow))} }}" for name, flow in seen]
    if lines:
        try:
            nft_apply("\n".join(lines) + "\n")
        except ProgramError:
            pass  # notes only
