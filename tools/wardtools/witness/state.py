"""What a witness knows of each log, on disk: its keys and the last checkpoint that was signed. One file a log, replaced atomically.

A log that is configured has a file from the first moment. A file that is gone or damaged is therefore never taken for "nothing
signed yet": the witness refuses that log, because it could otherwise sign a second history.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from wardgate.custody.checkpoint import Checkpoint, peek_checkpoint
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey, parse_key
from wardgate.custody.tree import EMPTY_ROOT

_HEAD: Final = "wardtool-witness 1"
_MAX_FILE: Final = MAX_NOTE + 65536
MAX_KEYS: Final = 16


class StateError(Exception):
    """The state of a log cannot be trusted, or cannot be changed so."""


class LogState(NamedTuple):
    """One log: its origin, the keys that may sign for it, its last checkpoint that was signed here (b"": none yet)."""

    origin: str
    keys: tuple[VerifierKey, ...]
    note: bytes

    @property
    def head(self) -> Checkpoint:
        """What was signed last; size 0 when nothing was."""
        return peek_checkpoint(self.note) if self.note else Checkpoint(self.origin, 0, EMPTY_ROOT)


class StateDirectory:
    """The files of one witness below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"

    def add(self, keys: tuple[VerifierKey, ...]) -> LogState:
        """Begin with a log, or give a known one further keys. Raises `StateError`, `OSError`."""
        origins = {key.name for key in keys}
        if len(origins) != 1 or len(keys) > MAX_KEYS:
            raise StateError("the keys of one log, all under its origin, are added together")
        (origin,) = origins
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            known = self.load(origin)
        except FileNotFoundError:
            known = LogState(origin, (), b"")
        state = known._replace(keys=tuple(dict.fromkeys((*known.keys, *keys))))
        self.save(state)
        sync_directory(str(self.path))
        return state

    def load(self, origin: str) -> LogState:
        """Return the state of a log. Raises `FileNotFoundError` (not configured), `StateError` (damaged), `OSError`."""
        path = self._file(origin)
        data = read_file(str(path), _MAX_FILE)
        head, gap, note = data.partition(b"\n\n")
        lines = head.decode("utf-8", "replace").split("\n")
        if not gap or lines[0] != _HEAD or len(lines) < 3 or lines[-1] != f"sum {_sum(lines[:-1], note)}":
            raise StateError(f"{path} is damaged; put it back from a copy that is not older, or begin a new witness")
        try:
            keys = tuple(parse_key(line.removeprefix("key ")) for line in lines[1:-1])
            state = LogState(origin, keys, note)
            if state.head.origin != origin or any(key.name != origin for key in keys):
                raise StateError(f"{path} is of another log")
        except NoteError as error:
            raise StateError(f"{path}: {error}") from error
        return state

    def save(self, state: LogState) -> None:
        """Make a state durable. Raises `OSError`; what is on disk then is the old state or the new one."""
        lines = [_HEAD, *(f"key {key.text}" for key in state.keys)]
        data = "\n".join([*lines, f"sum {_sum(lines, state.note)}", "", ""]).encode() + state.note
        write_durably(str(self._file(state.origin)), data)
        sync_directory(str(self.logs))

    def origins(self) -> list[str]:
        """Return the origins of all logs."""
        found = []
        for path in sorted(self.logs.glob("*.log")):
            first = next((line for line in path.read_text("utf-8", "replace").split("\n") if line.startswith("key ")), "")
            found.append(first.removeprefix("key ").partition("+")[0])
        return found

    def keep_evidence(self, origin: str, note: bytes) -> Path:
        """Keep a checkpoint that the log signed and that contradicts what was signed before: together they prove it."""
        place = self.path / "evidence"
        place.mkdir(mode=0o700, exist_ok=True)
        name = f"{self._file(origin).stem}-{sha256(note).hexdigest()[:16]}"
        if len(os.listdir(place)) < 1000 and not (place / name).exists():
            write_durably(str(place / name), note)
            sync_directory(str(place))
        return place / name

    def _file(self, origin: str) -> Path:
        return self.logs / f"{sha256(origin.encode()).hexdigest()[:32]}.log"


def _sum(lines: list[str], note: bytes) -> str:
    return sha256("\n".join(lines).encode() + b"\n\n" + note).hexdigest()
