"""What `wardgate status` shows of the supervisor: a small file of the link's own, below /run, that anybody may read."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Final

from wardgate.supervisor.conversation import Event, Status, What

PATH: Final = "/run/wardgate-supervisor/state.json"  # RuntimeDirectory= of the link's unit: gone when the link ends
WRITE_SECONDS: Final = 30.0
_STALE_SECONDS: Final = 90.0
_MAX_BYTES: Final = 4096
_RESETS: Final = {What.RESET: "reset", What.WITHHELD: "withheld"}


class Shown:
    """Keeps the file at `path` true; one that cannot be written is left alone, it is only shown. Times: Unix seconds."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._facts: dict[str, Any] = {"answers": False, "since": 0, "problem": "not asked yet", "last": None}
        self._changed = True
        self._write_at = 0.0

    def stands(self, status: Status) -> None:
        """The supervisor answers."""
        facts = {
            "watchdog": status.state.name.lower(), "resets": status.resets, "card": status.card, "open": status.tamper,
        }  # fmt: skip
        if not self._facts["answers"]:
            facts |= {"answers": True, "since": int(time.time()), "problem": ""}
        self._take(facts)

    def away(self, problem: str) -> None:
        """It does not."""
        if self._facts["answers"] or not self._facts["since"]:
            self._take({"answers": False, "since": int(time.time()), "problem": problem[:200]})

    def happened(self, event: Event) -> None:
        """It told of something: of resets the last is shown."""
        if event.what in _RESETS:
            self._take({"last": {"what": _RESETS[event.what], "at": int(time.time()) - event.ago}})

    def turn(self, now: float) -> None:
        """Write what has changed, and now and then that the link is there. `now`: monotonic seconds."""
        if not self._changed and now < self._write_at:
            return
        self._changed, self._write_at = False, now + WRITE_SECONDS
        data = json.dumps({"written": int(time.time()), **self._facts}).encode("ascii")
        temporary = f"{self._path}.tmp"
        with contextlib.suppress(OSError):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                os.fchmod(fd, 0o644)
                os.write(fd, data)
            finally:
                os.close(fd)
            os.rename(temporary, self._path)

    def _take(self, facts: dict[str, Any]) -> None:
        self._changed |= any(self._facts.get(name) != value for name, value in facts.items())
        self._facts |= facts


def read(path: str) -> dict[str, Any] | None:
    """Return what the link wrote last; None when there is no link."""
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def line(facts: dict[str, Any] | None, now: float) -> str:
    """Return the line for a person. `now`: Unix seconds."""
    if facts is None:
        return "supervisor: absent (no link runs): a box that hangs is reset by its own watchdog only"
    written, since = _number(facts.get("written")), _number(facts.get("since"))
    if now - written > _STALE_SECONDS:
        return f"supervisor: its link has written nothing since {_time(written)}"
    if not since:
        return "supervisor: not asked yet"
    last = facts.get("last")
    told = "no reset was told since the link started"
    if isinstance(last, dict):
        what = "reset the box, which had not said that it was alive," if last.get("what") == "reset" else "did not reset a silent box"
        told = f"it {what} at {_time(_number(last.get('at')))}"
    if not facts.get("answers"):
        return f"supervisor: SILENT since {_time(since)} ({_plain(facts.get('problem'))}); {told}"
    box = "OPEN" if facts.get("open") else "closed"
    card = "in" if facts.get("card") else "out"
    return (
        f"supervisor: present since {_time(since)}, watchdog {_plain(facts.get('watchdog'))}, box {box}, card switch {card}, "
        f"{_number(facts.get('resets'))} resets in the last hour; {told}"
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 38 else 0


def _plain(value: object) -> str:
    text = str(value)[:200]
    return text if text.isprintable() else "?"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
