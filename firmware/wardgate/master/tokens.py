"""Follows the tokens that the configuration needs: logs what changes, tells the workers of every generation and the writer."""

from __future__ import annotations

import time

from wardgate.codes import Code
from wardgate.master.watch import KeyWatch
from wardgate.token.machine import TokenState
from wardgate.token.needs import CUSTODY, needs_of
from wardgate.token.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from wardgate.master.events import Events
    from wardgate.master.generation import Generation
    from wardgate.master.loop import Loop
    from wardgate.token.machine import Change, Token

_LOOK_SECONDS = 30.0  # certificates end without anybody telling
_NAMES_SERIALS = frozenset({Code.TOKEN_IS_ANOTHER, Code.TOKEN_IS_SWAPPED})  # the custody log has serial numbers as hashes only


class Tokens:
    """One a master. `tell_writer(out, news)`: why checkpoints cannot be signed now, and what the log has to record."""

    def __init__(
        self,
        loop: Loop,
        events: Events,
        generations: Callable[[], Iterable[Generation]],
        tell_writer: Callable[[list[str] | None, list[dict[str, str]]], None],
    ) -> None:
        self._loop, self._events, self._generations, self._tell_writer = loop, events, generations, tell_writer
        self._watch: KeyWatch | None = None
        self._path = ""
        self._box = ""
        self._report: object = None
        self._newest: TokenState | None = None
        self._said_away = False
        loop.after(_LOOK_SECONDS, self._look)

    def prepare(self, config: dict[str, Any]) -> None:
        """Watch the key service if this configuration needs one: begun early, so that its word is here when workers start."""
        self._box = config["box"]["name"]
        if self._watch is None and needs_of(config, ()):
            self._path = config["keys"]["socket"]
            self._watch = KeyWatch(self._loop, self._path, self._reported)
            self._watch.start()

    def may_serve(self, config: dict[str, Any]) -> bool:
        """Does this configuration hear the key service that is watched? The generations before it do, until it has proved itself."""
        return self._watch is None or self._path == config["keys"]["socket"]

    def state_for(self, answer: dict[str, Any]) -> TokenState:
        """Return the machine of a new generation, judged by the last report; it is the one that speaks from now on."""
        self.prepare(answer["config"])
        state = TokenState(needs_of(answer["config"], answer.get("certificates", ())), self._newest)
        self._newest = state
        self._tell(state.report(self._report, time.time()))
        return state

    def back_to(self, generation: Generation) -> None:
        """The newest configuration was refused: `generation`, which serves, is the one that speaks again."""
        if generation.tokens is not self._newest:
            self._newest = generation.tokens
            self._tell([])

    def close(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def rows(self) -> list[dict[str, Any]]:
        """Return what the status shows of each token."""
        return self._newest.rows() if self._newest is not None else []

    def service(self) -> dict[str, Any] | None:
        """Return what the status shows of the key service, None when no key is in a token."""
        if self._watch is None or self._newest is None or not self._newest.tokens:
            return None
        return {"socket": self._path, "connected": self._watch.connected, "problem": self._watch.problem}

    def _reported(self, report: object) -> None:
        self._report = report
        if report is None and not self._said_away and self._watch is not None:
            self._events.event(Code.KEY_SERVICE_IS_AWAY, self._path, detail=self._watch.problem)
        self._said_away = report is None
        self._judge(lambda state, now: state.report(report, now))

    def _look(self) -> None:
        self._loop.after(_LOOK_SECONDS, self._look)
        self._judge(lambda state, now: state.look(now))

    def _judge(self, ask: Callable[[TokenState, float], list[Change]]) -> None:
        now = time.time()
        newest, changes = self._newest, []
        for generation in self._generations():
            if generation.tokens is newest:
                continue
            ask(generation.tokens, now)
            generation.tell_tokens()
        if newest is not None:
            changes = ask(newest, now)
            for generation in self._generations():
                if generation.tokens is newest:
                    generation.tell_tokens()
            if changes:
                self._tell(changes)

    def _tell(self, changes: list[Change]) -> None:
        """Workers know already; now the log lines and the writer."""
        assert self._newest is not None
        news = []
        for change in changes:
            token = change.token
            code = token.finding.code or Code.TOKEN_IS_BACK
            if code is not Code.KEY_SERVICE_IS_AWAY:
                tries = {} if token.finding.tries is None else {"tries": token.finding.tries}
                users = ",".join(token.need.users)
                self._events.event(code, token.need.name.key, was=change.before.value, detail=token.finding.detail, users=users, **tries)
            news.append(self._news(change, token))
        refusal = self._newest.refusals.get(CUSTODY)
        self._tell_writer([str(refusal.code), refusal.detail] if refusal is not None else None, news)

    def _news(self, change: Change, token: Token) -> dict[str, str]:
        finding = token.finding
        if finding.state is State.PRESENT:
            event = "inserted"
        elif finding.state is State.ABSENT and not change.first and change.before is not State.UNKNOWN:
            event = "removed"
        else:
            event = "refused"
        serial = finding.serial or token.pinned
        detail = finding.detail
        if finding.code in _NAMES_SERIALS:
            detail = f"found {finding.label or 'a token without label'}"
        return {
            "event": event,
            "box": self._box,
            "token": token.need.name.label or "token without label",
            "serial": serial,  # the writer keeps its hash only
            "users": ",".join(token.need.users),
            "code": str(finding.code) if finding.code is not None else "",
            "detail": detail,
        }
