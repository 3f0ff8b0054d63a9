"""Break-glass: whether it lasts, until when, by whom. It outlives a restart of `netd`, not its time, not a reboot. No clocks here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from wardgate.plant.bypass import new_id
from wardgate.policy.plant import BreakGlass

REMIND_SECONDS: Final = 60.0
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Glass:
    """The state, kept in a file. `problem`: why the disk does not have it; the bypass goes on, but a restart of `netd` ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clear()
        self.problem = ""

    def _clear(self) -> None:
        self.reason = self.how = self.who = self.id = ""
        self.until = 0.0  # monotonic seconds
        self.remind = 0.0

    @property
    def lasts(self) -> bool:
        """Tell whether it lasts."""
        return self.until > 0

    def start(self, policy: BreakGlass, reason: str, monotonic: float, wall: float, how: str = "", who: str = "") -> None:
        """Begin, or begin anew. The caller has asked policy."""
        self.id = self.id or new_id()
        self.reason, self.how, self.who = reason, how, who
        self.until = monotonic + policy.minutes * 60
        self.remind = monotonic + REMIND_SECONDS
        kept = {"until": wall + policy.minutes * 60, "minutes": policy.minutes, "boot": _boot()}
        text = json.dumps({**kept, "id": self.id, "how": how, "who": who, "reason": reason})
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"

    def resume(self, policy: BreakGlass, monotonic: float, wall: float) -> str:
        """Take up what an earlier `netd` had begun, for what is left of it; a clock set back makes it no longer.

        Return why it has ended since, "" when it lasts or there was none; then `id`, `how` and `who` are those of what ended.
        """
        try:
            kept: Any = json.loads(self._path.read_text())
            left = min(float(kept["until"]) - wall, policy.minutes * 60.0)
            self.reason, self.how, self.who, self.id = (str(kept[name]) for name in ("reason", "how", "who", "id"))
            same_boot = kept["boot"] == _boot()
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        if policy.allow and left > 0 and same_boot:
            self.until, self.remind = monotonic + left, monotonic
            return ""
        return "its time is over" if left <= 0 else "policy allows it no more" if same_boot else "the box started anew"

    def end(self) -> None:
        """End it."""
        self._clear()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"

    def left(self, monotonic: float) -> int:
        """Return the seconds that are left."""
        return max(0, int(self.until - monotonic)) if self.lasts else 0


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
