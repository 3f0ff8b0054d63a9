"""Break-glass as `netd` does it: who may start it, by which act; every beginning and end is kept for the custody log first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.plant.acts import RETRY_SECONDS, Button, Card
from wardgate.plant.bypass import Journal
from wardgate.plant.glass import REMIND_SECONDS, Glass
from wardgate.plant.programs import ProgramError
from wardgate.policy.model import Config
from wardgate.policy.plant import Act, BreakGlass

_JOURNAL: Final = "bypass.jsonl"
_STATE: Final = "break-glass.json"


class Bypassing:
    """State, journal and acts. `apply` makes the rule set anew by `glass.lasts`; it raises `ProgramError`: the old one holds."""

    def __init__(self, config: Config, log: Log, apply: Callable[[], None]) -> None:
        self._log, self._apply = log, apply
        folder = config.plant.state_dir
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
        except OSError:
            pass  # told with the first entry that cannot be kept
        self.glass = Glass(folder / _STATE)
        self.journal = Journal(folder / _JOURNAL)
        self._told = ""
        self._ended: tuple[str, str] | None = None  # why and by whom, while the rule set may still let it through
        self._tried = 0.0
        self._acts_told: dict[str, str] = {}
        self.acts: list[Button | Card] = []
        self.take(config)

    def take(self, config: Config) -> None:
        """Take the policy of a new configuration."""
        for act in self.acts:
            act.close()
        self._policy: BreakGlass = config.plant.break_glass
        policy = self._policy
        self.acts = []
        if policy.allow and Act.BUTTON in policy.acts:
            self.acts.append(Button(policy.button, policy.button_key, policy.button_seconds))
        if policy.allow and Act.CARD in policy.acts:
            self.acts.append(Card(config.keys.socket, policy.card))

    def resume(self) -> None:
        """Go on with what an earlier `netd` had begun, or keep that it has ended."""
        ended = self.glass.resume(self._policy, time.monotonic(), time.time())
        if ended:
            self._keep("end", "netd", "netd", ended)
            self._log.event(Code.BREAK_GLASS_ENDED, why=ended)
            self.glass.end()

    def start(self, act: Act, who: str, reason: str) -> None:
        """Begin it. Raises `PermissionError` when policy does not allow it, `ProgramError`."""
        policy = self._policy
        if not policy.allow:
            self._log.event(Code.BREAK_GLASS_REFUSED, reason=reason)
            raise PermissionError(Code.BREAK_GLASS_REFUSED.name, "plant.break_glass.allow is false")
        if act not in policy.acts:
            self._log.event(Code.BREAK_GLASS_NO_ACT, act=act, who=who)
            raise PermissionError(Code.BREAK_GLASS_NO_ACT.name, f"plant.break_glass.acts has no {act}")
        if self.journal.full:
            self._log.event(Code.BYPASS_WAITS, waiting=len(self.journal.entries))
            raise PermissionError(Code.BYPASS_WAITS.name, "as many records of earlier ones wait as may be")
        self.glass.start(policy, reason, time.monotonic(), time.time(), act, who)
        self._keep("begin", act, who, reason)
        try:
            self._apply()
        except ProgramError:
            self._keep("end", "netd", "netd", "the rule set was refused")
            self.glass.end()
            self._ended = ("the rule set was refused", "netd")  # an earlier one may be in force
            raise
        self._ended = None
        self._log.event(
            Code.BREAK_GLASS_STARTED, targets=self._targets(), minutes=policy.minutes, act=act, who=who, reason=reason, id=self.glass.id
        )

    def end(self, how: str, who: str, why: str) -> None:
        """End it. Raises `ProgramError`: it is tried again at each look until the rule set is in force."""
        if not self.glass.lasts:
            return
        self._keep("end", how, who, why)
        self.glass.end()
        self._ended = (why, who)
        self._close()

    def end_unless(self, policy: BreakGlass) -> None:
        """End it unless `policy` would have begun the same one. Raises `ProgramError`."""
        if not policy.allow:
            self.end("netd", "netd", "policy allows it no more")
        elif policy.addresses != self._policy.addresses:  # the record of its beginning names what it opened
            self.end("netd", "netd", "policy names other addresses")

    def _close(self) -> None:
        if self._ended is not None:
            self._apply()
            (why, who), self._ended = self._ended, None
            self._log.event(Code.BREAK_GLASS_ENDED, why=why, who=who)

    def look(self, now: float) -> None:
        """End it in time, remind of it, watch the button, open what is not open. Raises `ProgramError`."""
        self._close()
        glass = self.glass
        if glass.lasts and now >= glass.until:
            self.end("time", "netd", "its time is over")
        elif glass.lasts and now >= glass.remind:
            glass.remind = now + REMIND_SECONDS
            self._log.event(Code.BREAK_GLASS_LASTS, left_seconds=glass.left(now), act=glass.how, who=glass.who, reason=glass.reason)
        for act in self.acts:
            if isinstance(act, Button) and act.held(now):
                self._by(Act.BUTTON, str(self._policy.button), "the button was held")
        if now >= self._tried + RETRY_SECONDS:
            self._tried = now
            self.journal.retry()
            for act in self.acts:
                act.open()
                self._tell_act(act)
        self._tell_problem()

    def heard(self, act: Button | Card, now: float) -> None:
        """Something waits at the descriptor of `act`. Raises `ProgramError`."""
        if isinstance(act, Button):
            act.read(now)
        else:
            label = act.read()
            if label:
                self._by(Act.CARD, f"card {label}", "the card was put in")
        self._tell_act(act)

    def _by(self, act: Act, who: str, reason: str) -> None:
        try:
            self.start(act, "".join(c for c in who if c.isprintable())[:200], reason)
        except PermissionError:
            pass  # told

    def _keep(self, event: str, how: str, who: str, reason: str) -> None:
        minutes = self._policy.minutes if event == "begin" else 0
        self.journal.add(event, self.glass.id, time.time_ns(), how, who, reason, self._targets(), minutes)
        self._tell_problem()

    def _targets(self) -> str:
        return ",".join(endpoint.text for endpoint in self._policy.addresses)

    def _tell_problem(self) -> None:
        problem = self.journal.problem or self.glass.problem
        if problem and problem != self._told:
            self._log.event(Code.BYPASS_NOT_KEPT, detail=problem)
        self._told = problem

    def _tell_act(self, act: Button | Card) -> None:
        name = type(act).__name__.lower()
        if act.problem and self._acts_told.get(name) != act.problem:
            self._log.event(Code.BREAK_GLASS_ACT_AWAY, name, detail=act.problem)
        self._acts_told[name] = act.problem

    def shown(self, now: float) -> dict[str, object]:
        """Return what the status shows."""
        glass = self.glass
        return {
            "lasts": glass.lasts or self._ended is not None,
            "left_seconds": glass.left(now),
            "reason": glass.reason,
            "act": glass.how,
            "who": glass.who,
            "id": glass.id,
            "acts": [str(act) for act in self._policy.acts] if self._policy.allow else [],
            "problems": [problem for problem in (*self._acts_told.values(), self._told) if problem],
            "unrecorded": len(self.journal.entries),
        }
