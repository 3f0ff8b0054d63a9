"""One line an event, on standard error: time, code, sentence, fields. No patient data, no secret, no data set byte."""

from __future__ import annotations

import sys
import time

from wardgate.codes import Code, Level

TYPE_CHECKING = False  # the master does without `typing`, which is 1 MiB
if TYPE_CHECKING:
    from typing import Final

_LOUD: Final = {Level.INFO: "info", Level.WARN: "WARN", Level.ERROR: "ERROR"}
_RATE_SECONDS: Final = 10.0
_RATE_LINES: Final = 20
_MAX_KEYS: Final = 4096


class Repeats:
    """Lets 20 events of one code about one peer pass in 10 seconds, and counts the rest."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Code, str], list[float]] = {}  # (window start, passed, swallowed)

    def passes(self, code: Code, peer: str, now: float) -> int | None:
        """Return None when this one is swallowed, else how many were before it and have not been told."""
        window = self._seen.get((code, peer))
        before = 0
        if window is None or now - window[0] > _RATE_SECONDS:
            if len(self._seen) >= _MAX_KEYS:
                self._seen.clear()
            if window is not None:
                before = int(window[2])
            self._seen[(code, peer)] = window = [now, 0, 0]
        window[1] += 1
        if window[1] > _RATE_LINES:
            window[2] += 1
            return None
        return before

    def over(self, now: float) -> list[tuple[Code, str, int]]:
        """Return code, peer and number of what was swallowed in windows that have ended, each told once."""
        ended = [key for key, window in self._seen.items() if now - window[0] > _RATE_SECONDS]
        return [(*key, count) for key in ended if (count := int(self._seen.pop(key)[2]))]


class Log:
    """Writes events; repeats of one code about one peer beyond 20 in 10 seconds are counted and summed up, not printed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._repeats = Repeats()

    def event(self, code: Code, peer: str = "", **fields: object) -> None:
        """Write one event. `peer` (address or AE title) is what the rate limit counts by."""
        before = self._repeats.passes(code, peer, time.monotonic())
        if before is None:
            return
        if before:
            fields["repeated"] = before
        if peer:
            fields = {"peer": peer, **fields}
        entry = code.value
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        tail = "".join(f" {key}={printable(value)}" for key, value in fields.items())
        action = "" if entry.level is Level.INFO else f" -> {entry.action}"
        try:
            sys.stderr.write(f"{stamp} {self.name} {_LOUD[entry.level]} {code} {entry.sentence}{tail}{action}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # a full disk under the log must not stop what it tells about


def printable(value: object) -> str:
    """Return `value` as one word: quoted when it has blanks, with every control byte escaped, at most 300 characters."""
    text = str(value)
    if len(text) > 300:
        text = text[:297] + "..."
    if text.isprintable() and " " not in text and text:
        return text
    return '"' + "".join(c if c.isprintable() and c != '"' else f"\\x{ord(c):02x}" for c in text) + '"'
