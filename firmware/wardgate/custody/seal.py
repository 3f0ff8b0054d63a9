"""Makes a checkpoint: records from the write-ahead files become tiles, the tree head is signed. Runs in a thread beside the loop.

Order on disk: tiles and their directories, then the checkpoint under its name, then only are the write-ahead files removed.
Each run begins from the tiles of the last checkpoint and refuses to go on when our key did not sign it, or they do not give its root.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from wardgate.custody.checkpoint import Checkpoint, peek_checkpoint
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.headcheck import must_be_signed
from wardgate.custody.logkey import LogKey, SignerAway
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey
from wardgate.custody.recover import Damaged, Segment, records_of
from wardgate.custody.tiles import MAX_BUNDLE, TileBuilder, TileError

_PACE_RECORDS: Final = 32
_PACE_SECONDS: Final = 0.001  # given to the loop after so many records: group commit goes on meanwhile


def read_checkpoint(directory: str) -> Checkpoint | None:
    """Return the checkpoint of a log directory as it says (not verified); None when there is none. Raises `Damaged`."""
    try:
        note = read_file(os.path.join(directory, "checkpoint"), MAX_NOTE)
    except FileNotFoundError:
        return None
    try:
        return peek_checkpoint(note)
    except NoteError as error:
        raise Damaged(f"the checkpoint file cannot be read: {error}") from error


class Sealer:
    """Makes checkpoints of one log directory. Not for two threads at once."""

    def __init__(self, directory: str, key: LogKey, judge: Callable[[bytes, VerifierKey], object] = must_be_signed) -> None:
        """`judge(note, key)` raises `NoteError` for a checkpoint that the key did not sign."""
        self._directory = directory
        self._judge = judge
        self._key = key
        self._trusted = b""  # the checkpoint that was made here, or whose signature was found good

    def seal(self, segments: list[Segment], paced: bool = True) -> int:
        """Cover all records of `segments` by a new checkpoint, remove the files; return its size.

        Raises `OSError`, `SignerAway` (nothing is lost, try again), `Damaged`, `TileError`, `NoteError` (the log contradicts itself).
        """
        before = self._last()
        builder = TileBuilder.load(self._read, before.size)
        if before.size and (builder.root() != before.root or before.origin != self._key.origin):
            raise Damaged(f"the tiles do not give the root of the checkpoint of {before.size} records of {before.origin}")
        size = segments[-1].stop if segments else before.size
        if size > before.size or not before.root:
            self._write(builder, segments, size, paced)
        for segment in segments:
            with contextlib.suppress(OSError):  # a file left behind is seen to be covered at the next start
                os.unlink(segment.path)
        sync_directory(self._directory)
        return size

    def _last(self) -> Checkpoint:
        """Return the last checkpoint, which our own key signed: who can write the disk could else have us sign another history for him.

        Raises `NoteError`, `SignerAway`, `OSError`.
        """
        try:
            note = read_file(os.path.join(self._directory, "checkpoint"), MAX_NOTE)
        except FileNotFoundError:
            return Checkpoint(self._key.origin, 0, b"")
        if note != self._trusted:
            self._judge(note, self._key.verifier())
            self._trusted = note
        return peek_checkpoint(note)

    def _write(self, builder: TileBuilder, segments: list[Segment], size: int, paced: bool) -> None:
        directories: set[str] = set()
        filled: list[str] = []
        for count, (_, record) in enumerate(records_of(segments, builder.size, size)):
            for path, data in builder.append(record):
                self._put(path, data, directories)
                filled.append(path)
            if paced and count % _PACE_RECORDS == 0:
                time.sleep(_PACE_SECONDS)
                if self._key.cancelled:
                    raise SignerAway("", "another writer takes over")
        for path, data in builder.partial():
            self._put(path, data, directories)
        for directory in sorted(directories):
            sync_directory(directory)
        text = Checkpoint(self._key.origin, size, builder.root()).text
        note = self._key.note(text).encode()
        write_durably(os.path.join(self._directory, "checkpoint"), note)
        sync_directory(self._directory)
        self._trusted = note
        for path in filled:  # a full tile takes the place of its partial ones (tlog-tiles, Partial Tiles)
            _remove_tree(os.path.join(self._directory, path + ".p"))

    def _put(self, path: str, data: bytes, directories: set[str]) -> None:
        full = os.path.join(self._directory, path)
        parent = os.path.dirname(full)
        if parent not in directories:
            os.makedirs(parent, 0o750, exist_ok=True)
            while len(parent) >= len(self._directory):
                directories.add(parent)
                parent = os.path.dirname(parent)
        write_durably(full, data)

    def _read(self, path: str) -> bytes:
        return read_file(os.path.join(self._directory, path), MAX_BUNDLE)


def _remove_tree(path: str) -> None:
    try:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
    except FileNotFoundError:
        pass


__all__ = ["Damaged", "NoteError", "Sealer", "TileError", "read_checkpoint"]
