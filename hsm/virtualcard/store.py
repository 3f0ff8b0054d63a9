"""The state file: replaced whole, so that a power cut at any instant leaves the state before or the state after."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from virtualcard import state
from virtualcard.state import CardState


class Store(Protocol):
    """Where a card's state lives. `save` returns when it is durable; `OSError` says that it is not."""

    def load(self) -> CardState: ...

    def save(self, changed: CardState) -> None: ...


class MemoryStore:
    """Keeps the state in memory, for tests of the engine."""

    def __init__(self, first: CardState) -> None:
        self._raw = state.to_bytes(first)
        self.saves = 0

    def load(self) -> CardState:
        """Return the state saved last."""
        return state.from_bytes(self._raw)

    def save(self, changed: CardState) -> None:
        """Keep the state."""
        self._raw = state.to_bytes(changed)
        self.saves += 1


class FileStore:
    """Keeps the state in one file of mode 0600. `step` is told each step of a write before it is done, for tests that cut there."""

    def __init__(self, path: Path, step: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self._step = step

    def create(self, first: CardState) -> None:
        """Write the state of a new card. Raises `FileExistsError` where there is one."""
        if self.path.exists():
            raise FileExistsError(self.path)
        self.save(first)

    def load(self) -> CardState:
        """Read the state. Raises `OSError`, `BadState`."""
        return state.from_bytes(self.path.read_bytes())

    def save(self, changed: CardState) -> None:
        """Write beside, sync, rename, sync the directory. Raises `OSError`."""
        raw = state.to_bytes(changed)
        beside = self.path.with_name(self.path.name + ".new")
        self._step("open")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            middle = len(raw) // 2
            _write(descriptor, raw[:middle])
            self._step("write")
            _write(descriptor, raw[middle:])
            self._step("sync")
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        finally:
            os.close(descriptor)
        self._step("rename")
        beside.replace(self.path)
        self._step("sync directory")
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
