"""What a look at a custody log found, and the one sentence and exit status that it comes down to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAX_LINES: Final = 50


class Verdict(Enum):
    """What is to be said of a log; the value is the exit status of `wardtool custody verify`."""

    INTACT = 0
    DAMAGED = 1
    UNREADABLE = 3
    TRUNCATED = 4
    FORKED = 5
    UNKNOWN_KEY = 6


_ORDER: Final = (Verdict.UNKNOWN_KEY, Verdict.FORKED, Verdict.TRUNCATED, Verdict.DAMAGED, Verdict.UNREADABLE)  # the gravest first
_SENTENCES: Final = {
    Verdict.DAMAGED: "The log is damaged",
    Verdict.UNREADABLE: "The log cannot be read",
    Verdict.TRUNCATED: "The log is truncated",
    Verdict.FORKED: "The log is forked: it is not the continuation of what was signed before",
    Verdict.UNKNOWN_KEY: "The log is signed by an unknown key",
}


@dataclass(slots=True)
class Findings:
    """What was found: `facts` for the reader, `notes` worth a look, `errors` that must not be."""

    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    kinds: set[Verdict] = field(default_factory=set)
    first_damaged: int | None = None  # index of the lowest record that is damaged
    kept: int | None = None  # how many records of a truncated log are there

    def wrong(self, line: str, kind: Verdict = Verdict.DAMAGED, record: int | None = None) -> None:
        """Add an error; beyond `MAX_LINES` only its kind counts. `record`: the index of the record that is damaged."""
        self.kinds.add(kind)
        if kind is Verdict.DAMAGED and record is not None and (self.first_damaged is None or record < self.first_damaged):
            self.first_damaged = record
        if len(self.errors) < MAX_LINES:
            self.errors.append(line)

    def note(self, line: str) -> None:
        """Add a note; after `MAX_LINES` one line says that there are more."""
        if len(self.notes) < MAX_LINES:
            self.notes.append(line)
        elif len(self.notes) == MAX_LINES:
            self.notes.append("(more notes are left out)")

    @property
    def verdict(self) -> Verdict:
        """The gravest of all that was found."""
        return next((kind for kind in _ORDER if kind in self.kinds), Verdict.INTACT)

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        verdict = self.verdict
        if verdict is Verdict.INTACT:
            return "The log is intact."
        if verdict is Verdict.DAMAGED and self.first_damaged is not None:
            return f"The log is damaged at record {self.first_damaged}."
        if verdict is Verdict.TRUNCATED and self.kept is not None:
            return f"The log is truncated: only its first {self.kept} records are there."
        return f"{_SENTENCES[verdict]}."
