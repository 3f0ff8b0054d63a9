"""Tells the service manager how a process is: sd_notify(3), one datagram a message to the socket named by NOTIFY_SOCKET.

A leaf without a library: all it needs is a socket. Without NOTIFY_SOCKET (a test, a shell) everything here does nothing. Watchdog:
systemd gives WATCHDOG_USEC; a process that has not said `alive` for so long is killed and started again (systemd.service(5)).
"""

from __future__ import annotations

import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

_LOOKS = 6  # within the time of the watchdog: a few may be missed on a busy machine
_STATUS_LENGTH = 200
_SETTLED_SECONDS = 60.0  # as WatchdogSec= of the other units of ours


class Notifier:
    """Takes its words out of the environment, so that no child speaks for this process. Nothing here blocks or raises.

    `interval`: seconds between two calls of `alive` that are due, None when nobody waits for them.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        path, micros, pid = (env.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""
        self._socket: socket.socket | None = None
        self._due = 0.0
        self.interval: float | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            if micros.isdecimal() and int(micros) and (not pid or pid == str(os.getpid())):
                self.interval = int(micros) / 1e6 / _LOOKS

    def ready(self, status: str) -> None:
        """It serves; also the end of `reloading`."""
        self._say("READY=1", _status(status))

    def reloading(self, status: str) -> None:
        """It reads its configuration again; `ready` must follow, whatever comes of it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", _status(status))

    def stopping(self, status: str) -> None:
        """It is about to end."""
        self._say("STOPPING=1", _status(status))

    def settled(self, seconds: float = _SETTLED_SECONDS) -> None:
        """The long work of a start is done: from now on the watchdog waits no longer than this, where there is one (`WATCHDOG_USEC=`)."""
        if self.interval is not None and self.interval > seconds / _LOOKS:
            self.interval = seconds / _LOOKS
            self._due = 0.0  # it was reckoned with the patience of before
            self._say(f"WATCHDOG_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """Say how it is, for `systemctl status`."""
        self._say(_status(text))

    def alive(self) -> None:
        """All that this process answers for is alive: pet the watchdog."""
        if self.interval is not None:
            self._say("WATCHDOG=1")

    def turned(self, now: float) -> None:
        """For a loop that is alive when it turns: call it on every turn, it pets when that is due. `now`: `time.monotonic()`."""
        if self.interval is not None and now >= self._due:
            self._due = now + self.interval
            self.alive()

    def _say(self, *lines: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                pass  # nobody listens there: the manager will notice by itself


def _status(text: str) -> str:
    """One line, or it would be read as more words."""
    return "STATUS=" + "".join(char if char.isprintable() else " " for char in text[:_STATUS_LENGTH])
