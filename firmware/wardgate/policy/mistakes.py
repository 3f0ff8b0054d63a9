"""A mistake in the configuration: where, what was expected, what was found, and its code."""

from __future__ import annotations

from typing import NamedTuple

from wardgate.codes import Code


class Mistake(NamedTuple):
    """One mistake. `place` is the path of the word, such as `link[0].peer[1].tls.profile`."""

    place: str
    expected: str
    found: str
    code: Code

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.code} {_visible(self.place)}: expected {_visible(self.expected)}; found {_visible(self.found)}"


def _visible(text: str) -> str:
    """Return `text` on one line, at most 300 characters."""
    short = text if len(text) <= 300 else text[:297] + "..."
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in short)


class ConfigErrors(Exception):
    """All mistakes of one configuration."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes
