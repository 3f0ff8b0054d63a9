"""Break-glass: whether it lasts, until when. It outlives a restart of `netd`, never its time. No clocks of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from wardgate.policy.plant import BreakGlass

REMIND_SECONDS: Final = 60.0


class Glass:
    """The state, kept in a file beside the socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reason = ""
        self.until = 0.0  # monotonic seconds
        self.remind = 0.0

    @property
    def lasts(self) -> bool:
        """Tell whether it lasts."""
        return self.until > 0

    def start(self, policy: BreakGlass, reason: str, monotonic: float, wall: float) -> None:
        """Begin, or begin anew. The caller has asked policy."""
        self.reason = reason
        self.until = monotonic + policy.minutes * 60
        self.remind = monotonic + REMIND_SECONDS
        text = json.dumps({"until": wall + policy.minutes * 60, "minutes": policy.minutes, "reason": reason})
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)

    def resume(self, policy: BreakGlass, monotonic: float, wall: float) -> None:
        """Take up what an earlier `netd` had begun, for what is left of it; a clock set back makes it no longer."""
        try:
            kept: Any = json.loads(self._path.read_text())
            left = min(float(kept["until"]) - wall, policy.minutes * 60.0)
            reason = str(kept["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if policy.allow and left > 0:
            self.reason, self.until, self.remind = reason, monotonic + left, monotonic
        else:
            self.end()

    def end(self) -> None:
        """End it."""
        self.until = 0.0
        self._path.unlink(missing_ok=True)

    def left(self, monotonic: float) -> int:
        """Return the seconds that are left."""
        return max(0, int(self.until - monotonic)) if self.lasts else 0
