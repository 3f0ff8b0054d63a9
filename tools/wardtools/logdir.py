"""Reads a custody log directory as anybody may: no lock, no change, a writer may be at work meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wardgate.custody.checkpoint import Checkpoint, peek_checkpoint
from wardgate.custody.cosigned import names_in, read_cosigned
from wardgate.custody.files import read_file
from wardgate.custody.note import MAX_NOTE
from wardgate.custody.recover import Damaged, records_of, replay
from wardgate.custody.tiles import MAX_BUNDLE, WIDTH, TileTree
from wardgate.custody.wal import wal_numbers

_TRIES = 5


class View(NamedTuple):
    """The log at one moment: records signed, records durable, and those between (copied, for the writer moves on)."""

    signed: int
    durable: int
    tail: list[bytes]
    head: Checkpoint
    note: bytes
    has_wal: bool
    torn: int = 0  # bytes of a torn tail


class LogDirectory:
    """One log directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = f"{path}/"

    def note(self) -> bytes:
        """Return the checkpoint file. Raises `OSError`."""
        return read_file(str(self.path / "checkpoint"), MAX_NOTE)

    def cosigned(self) -> list[tuple[str, bytes]]:
        """Return (path, note) of the checkpoints that witnesses signed, the newest first. Raises `OSError`."""
        return read_cosigned(lambda path: read_file(self._text + path, MAX_NOTE), names_in(self._text))

    def read(self, path: str) -> bytes:
        """Return a tile or entry bundle. Raises `OSError`."""
        return read_file(self._text + path, MAX_BUNDLE)

    def tree(self, checkpoint: Checkpoint) -> TileTree:
        """Return the tree under a checkpoint."""
        return TileTree(self.read, checkpoint.size)

    def view(self) -> View:
        """Return what is signed and what is durable. Raises `Damaged` when it stays contradictory."""
        for attempt in range(_TRIES):
            try:
                return self._look()
            except (Damaged, FileNotFoundError):
                if attempt == _TRIES - 1:
                    raise
                time.sleep(0.1 * (attempt + 1))  # the writer may be turning to a new file
        raise AssertionError

    def signed_view(self) -> View:
        """Return what is signed alone: for a log whose write-ahead files are damaged. Raises `OSError`, `NoteError`."""
        note = self.note()
        head = peek_checkpoint(note)
        return View(head.size, head.size, [], head, note, True)

    def _look(self) -> View:
        try:
            note = self.note()
            head = peek_checkpoint(note)
        except FileNotFoundError:
            if not wal_numbers(str(self.path)):
                raise
            note, head = b"", Checkpoint("", 0, b"")
        found, _ = replay(str(self.path), head.size)
        durable = found.state.next_index
        tail = [entry for _, entry in records_of(found.segments, head.size, durable)]
        return View(head.size, durable, tail, head, note, not found.missing, found.torn)

    def records(self, view: View, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield (index, entry) of the records from `start` on, signed ones from the tiles, later ones from the view.

        Leading bundles that are not there are passed over: they were pruned, or `verify` says otherwise.
        """
        tree = self.tree(view.head)
        begun = False
        for number in range(start // WIDTH, -(-view.signed // WIDTH)):
            try:
                entries = tree.bundle(number)
            except FileNotFoundError:
                if begun:
                    raise
                continue
            begun = True
            for place, entry in enumerate(entries, number * WIDTH):
                if place >= start:
                    yield place, entry
        for place, entry in enumerate(view.tail, view.signed):
            if place >= start:
                yield place, entry
