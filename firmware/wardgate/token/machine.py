"""The token state machine: reports of the key service and the time go in; who is served, who is refused and what changed come out.

A token is in one `State`. Whatever is not `PRESENT` refuses its users, each with the token's code; `EXPIRED` refuses only the users
whose certificate has ended. The first serial number seen under a name is the one that counts until the configuration is read again:
a card of the same label that is swapped in later is `WRONG`. Before the first report everything is `UNKNOWN`: deny by default.
"""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.token.judge import Finding, expired, judge, seen_in
from wardgate.token.state import CODES, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wardgate.token.needs import Need


class Refusal:
    """Why a user of a token is not served: the code, one line for the log, and the token's name."""

    __slots__ = ("code", "detail", "token")

    def __init__(self, code: Code, detail: str, token: str) -> None:
        self.code = code
        self.detail = detail
        self.token = token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusal) and (self.code, self.detail, self.token) == (other.code, other.detail, other.token)

    __hash__ = None  # type: ignore[assignment]


class Token:
    """One needed token: its state, since when (Unix seconds), how often it changed, and the serial that counts."""

    __slots__ = ("changes", "finding", "need", "pinned", "refused", "since")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.finding = Finding(State.UNKNOWN, "the key service has not answered yet")
        self.since = 0.0
        self.changes = 0
        self.pinned = ""
        self.refused: dict[str, Refusal] = {}
        self._refuse({})

    @property
    def state(self) -> State:
        """Its state."""
        return self.finding.state

    def take(self, finding: Finding, ended: dict[str, float], now: float) -> bool:
        """Be as `finding` says; return whether that is a change."""
        if finding.state is State.PRESENT:
            self.pinned = self.pinned or finding.serial
            if ended:
                finding.state, finding.code, finding.detail = State.EXPIRED, CODES[State.EXPIRED], f"certificate of {', '.join(ended)}"
        before = self.finding
        changed = (before.state, before.code, before.serial) != (finding.state, finding.code, finding.serial)
        users_before = set(self.refused)
        self.finding = finding
        self._refuse(ended)
        if changed:
            self.since = now
            self.changes += 1
        return changed or users_before != set(self.refused)

    def _refuse(self, ended: dict[str, float]) -> None:
        finding = self.finding
        if finding.code is None:
            self.refused = {}
            return
        users = list(ended) if finding.state is State.EXPIRED else self.need.users
        self.refused = {user: Refusal(finding.code, finding.detail, self.need.name.key) for user in users}


class Change:
    """One token changed: from which state, to what it is now."""

    __slots__ = ("before", "first", "token")

    def __init__(self, token: Token, before: State, first: bool) -> None:
        self.token = token
        self.before = before
        self.first = first  # its first report: not a removal or an insertion that anybody saw


class TokenState:
    """All tokens that one configuration needs. `before`: the machine of the configuration before it, whose counters go on."""

    def __init__(self, needs: Sequence[Need], before: TokenState | None = None) -> None:
        self.tokens = [Token(need) for need in needs]
        self._report: object = None
        known = {token.need.name.key: token for token in before.tokens} if before is not None else {}
        for token in self.tokens:
            old = known.get(token.need.name.key)
            if old is not None:
                token.since, token.changes, token.finding = old.since, old.changes, old.finding
                token._refuse({})

    def report(self, report: object, now: float) -> list[Change]:
        """Take a STATUS or WATCH answer (None: the key service is away); return the tokens that changed. `now`: Unix seconds."""
        self._report = report
        return self.look(now)

    def look(self, now: float) -> list[Change]:
        """Judge the last report again at `now`: certificates end without a report."""
        seen = seen_in(self._report)
        found = []
        for token in self.tokens:
            if self._report is None:
                finding = Finding(State.UNKNOWN)
            else:
                others = [other.need for other in self.tokens if other is not token]
                finding = judge(token.need, others, seen, token.pinned)
            before, first = token.state, token.changes == 0
            if token.take(finding, expired(token.need, now), now):
                found.append(Change(token, before, first))
        return found

    def next_end(self, now: float) -> float | None:
        """Return when the next certificate ends (Unix seconds), None when none will."""
        ends = [use.not_after for token in self.tokens for use in token.need.uses if use.not_after > now]
        return min(ends) if ends else None

    @property
    def refusals(self) -> dict[str, Refusal]:
        """Every user that is refused, with the reason: "LINK/PARTY" or `custody`. Who is not in it is served."""
        found: dict[str, Refusal] = {}
        for token in self.tokens:
            for user, refusal in token.refused.items():
                found.setdefault(user, refusal)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return what the status shows of each token."""
        return [
            {
                "token": token.need.name.key,
                "state": token.state.value,
                "code": str(token.finding.code) if token.finding.code is not None else "",
                "detail": token.finding.detail,
                "serial": token.finding.serial,
                "tries": token.finding.tries,
                "since": int(token.since),
                "changes": token.changes,
                "users": token.need.users,
            }
            for token in self.tokens
        ]
