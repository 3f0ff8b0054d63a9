"""What the custody log has to be told of break-glass, kept on disk until it is there: one line of JSON for each beginning and end.

`netd` writes here and goes on, whatever the custody writer does; `plant.recording` takes the entries, has each made durable in the log
and says so; only then they are gone. A crash between the two leaves an entry in the log twice: `id` and `event` tell that it is one.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

MAX_ENTRIES: Final = 4096  # each has at most some KiB
MAX_AT_ONCE: Final = 8  # so many of the longest go into one answer of `netd`
_TEXT: Final = 200


class Entry(NamedTuple):
    """A beginning or an end. `number` rises; `at_ns` is UTC, nanoseconds since 1970; `how`: by which act; `who`: whose."""

    number: int
    event: str  # "begin" or "end"
    id: str
    at_ns: int
    how: str
    who: str
    reason: str
    targets: str
    minutes: int


class Journal:
    """The entries that the custody log does not have yet. Nothing here raises `OSError`: `problem` says why the disk has not all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[Entry] = []
        self.problem = ""
        self._last = 0
        try:
            for line in path.read_text().splitlines():
                self.entries.append(_entry(json.loads(line)))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            self.problem = f"{path}: {error}"
        self._last = max((entry.number for entry in self.entries), default=0)

    @property
    def full(self) -> bool:
        """Is there no room for one more bypass, its beginning and its end?"""
        return len(self.entries) + 2 > MAX_ENTRIES

    @property
    def unfinished(self) -> Entry | None:
        """The last beginning, if no end followed it here."""
        return self.entries[-1] if self.entries and self.entries[-1].event == "begin" else None

    def add(self, event: str, identifier: str, wall_ns: int, how: str, who: str, reason: str, targets: str, minutes: int) -> None:
        """Keep an entry; it is on disk when this returns, or `problem` is set."""
        self._last = max(self._last + 1, wall_ns)
        text = (how[:32], who[:_TEXT], reason[:_TEXT], targets[: 2 * _TEXT])
        self.entries.append(Entry(self._last, event, identifier, wall_ns, *text, minutes))
        self._write()

    def done(self, number: int) -> None:
        """Forget the entries up to `number`: the custody log has them."""
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if entry.number > number]
        if len(self.entries) != before:
            self._write()

    def retry(self) -> None:
        """Write once more what the disk did not take."""
        if self.problem:
            self._write()

    def _write(self) -> None:
        """Whole, beside the old one, then in its place."""
        new = self._path.with_name(self._path.name + ".new")
        text = "".join(f"{json.dumps(entry._asdict(), separators=(',', ':'))}\n" for entry in self.entries)
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"
        else:
            self.problem = ""


def new_id() -> str:
    """Return a name for one bypass, hex."""
    return secrets.token_hex(8)


def _entry(fields: Any) -> Entry:
    entry = Entry(**fields)
    if not isinstance(entry.number, int) or entry.event not in ("begin", "end"):
        raise ValueError("a line that is no entry")
    return entry
