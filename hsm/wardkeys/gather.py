"""One LIST answered by several tokens."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from wardkeys import wire
from wardkeys.request import Request

_ROOM: Final = wire.MAX_PACKET - 64


class Gather:
    """Collects the parts of the answer; the last part, or the deadline, sends it."""

    def __init__(self, request: Request, parts: int) -> None:
        self.request = request
        self.done = False
        self._left = parts
        self._rows: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        if not parts:
            self.finish()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take the part of one token, empty when it failed."""
        with self._lock:
            self._rows += rows
            self._left -= 1
            last = not self._left
        if last:
            self.finish()

    def finish(self) -> None:
        """Answer with what is there; `more` when that is not all."""
        with self._lock:
            rows, more = list(self._rows), self._left > 0
            self.done = True
        while True:
            answer = json.dumps({"objects": rows, "more": more}, separators=(",", ":")).encode()
            if len(answer) <= _ROOM:
                break
            rows, more = rows[: len(rows) * 3 // 4], True
        self.request.answer([answer])
