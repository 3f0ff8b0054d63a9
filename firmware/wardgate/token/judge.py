"""Judges one needed token by what the key service reports of all tokens. Pure."""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.token.state import CODES, REPORTED, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wardgate.token.needs import Need

MAX_TOKENS = 64
_MAX_TEXT = 64


class Seen:
    """One token as the key service reports it."""

    __slots__ = ("detail", "label", "model", "name", "serial", "state", "tries")

    def __init__(self, entry: dict[str, object]) -> None:
        def text(word: str) -> str:
            value = entry.get(word)
            return value[:_MAX_TEXT].rstrip(" ") if isinstance(value, str) else ""

        self.name, self.label, self.serial, self.model, self.detail = map(text, ("name", "label", "serial", "model", "detail"))
        self.state = REPORTED.get(text("state"), State.FAILED)
        tries = entry.get("tries")
        self.tries = tries if isinstance(tries, int) and not isinstance(tries, bool) else None

    @property
    def is_there(self) -> bool:
        """Is some card in that reader?"""
        return self.state is not State.ABSENT

    @property
    def shown(self) -> str:
        """Label and serial, for a person."""
        return f"{self.label or 'a token without label'} (serial {self.serial or 'none'})"


def seen_in(report: object) -> list[Seen]:
    """Return the tokens of a STATUS or WATCH answer, at most `MAX_TOKENS`. What is not as documented is left out."""
    tokens = report.get("tokens") if isinstance(report, dict) else None
    return [Seen(entry) for entry in (tokens if isinstance(tokens, list) else [])[:MAX_TOKENS] if isinstance(entry, dict)]


class Finding:
    """What is known of one needed token."""

    __slots__ = ("code", "detail", "label", "serial", "state", "tries")

    def __init__(self, state: State, detail: str = "", seen: Seen | None = None, code: Code | None = None) -> None:
        self.state = state
        self.code = code or CODES.get(state)
        self.detail = detail
        self.label = seen.label if seen is not None else ""
        self.serial = seen.serial if seen is not None else ""
        self.tries = seen.tries if seen is not None else None


def judge(need: Need, others: Iterable[Need], tokens: Sequence[Seen], pinned: str) -> Finding:
    """Return the state of the token that `need` means. `pinned`: serial of the one used before, "" when there was none.

    `others`: what else the configuration needs; a token that fits one of them is nobody's wrong card.
    """
    fitting = [seen for seen in tokens if need.name.fits(seen.label, seen.serial, seen.model)]
    if fitting:
        best = min(fitting, key=lambda seen: (seen.state is not State.PRESENT, not seen.is_there, bool(pinned) and seen.serial != pinned))
        if best.state is State.PRESENT and pinned and best.serial and best.serial != pinned:
            detail = f"serial {best.serial} in place of {pinned}"
            return Finding(State.WRONG, detail, best, Code.TOKEN_IS_SWAPPED)
        return Finding(best.state, best.detail, best)
    named = [seen for seen in tokens if need.name.label and seen.name == need.name.label]
    spare = [seen for seen in tokens if seen.is_there and not any(other.name.fits(seen.label, seen.serial, seen.model) for other in others)]
    for seen in named or spare:
        if seen.state in (State.PRESENT, State.WRONG):
            return Finding(State.WRONG, f"found {seen.shown}, wanted {need.name.key}", seen)
        if seen.is_there:
            return Finding(seen.state, seen.detail, seen)
    return Finding(State.ABSENT, f"wanted {need.name.key}")


def expired(need: Need, now: float) -> dict[str, float]:
    """Return the users of `need` whose certificate is past its time, with its end (Unix seconds)."""
    return {use.user: use.not_after for use in need.uses if 0 < use.not_after < now}
