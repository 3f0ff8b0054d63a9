"""The master's log, with the last 50 events that were not normal work kept for the status."""

from __future__ import annotations

import time
from collections import deque

from wardgate.codes import Code, Level
from wardgate.log import Log, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardgate.audit.outbox import Outbox

KEPT = 50


class Events:
    """Logs events and remembers the last ones. Each is `[Unix seconds, "WG207", text]`."""

    def __init__(self, name: str) -> None:
        self._log = Log(name)
        self.last: deque[list[object]] = deque(maxlen=KEPT)
        self.outbox: Outbox | None = None  # towards the audit sender, where there is one

    def rename(self, name: str) -> None:
        """Log under the box's name, once it is known."""
        self._log = Log(name)

    def event(self, code: Code, peer: str = "", **fields: object) -> None:
        """Log one event."""
        self._log.event(code, peer, **fields)
        if self.outbox is not None:
            self.outbox.put(code, peer, fields)
        if code.value.level is not Level.INFO:
            tail = "".join(f" {key}={printable(value)}" for key, value in fields.items())
            self.last.append([int(time.time()), str(code), f"{code.value.sentence}{tail}"])
