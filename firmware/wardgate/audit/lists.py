"""CRLs of the repositories for a sender that has an account of its own: `crlfetch` every so often, as the master does for the gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.policy.tls import CrlPolicy

if TYPE_CHECKING:
    from wardgate.policy.model import Config

LONGEST_SECONDS: Final = 3600.0


class Lists:
    """Call `turn` on every tick; nothing here waits."""

    def __init__(self, config: Config, policy: Path) -> None:
        assert config.audit is not None
        self._wanted = any(each.tls.crl_policy is not CrlPolicy.OFF for each in config.audit.repositories)
        self._seconds = float(config.box.crl_refresh_seconds)
        self._argv = (sys.executable, "-P", "-m", "wardgate.transport.crlfetch", "--audit", str(policy))
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def turn(self, now: float) -> None:
        """Begin a round when it is due, end one that hangs. `now`: `time.monotonic()`."""
        if self._process is not None:
            if self._process.poll() is not None:
                self._process = None
            elif now - self._began > LONGEST_SECONDS:
                self._process.kill()
        elif self._wanted and (not self._began or now - self._began >= self._seconds):
            self._began = now
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)
