"""What can be checked of a log in a moment: the checkpoint's signature, the right edge of its tree, every record after it."""

from __future__ import annotations

import os
import time
from typing import Final

from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.files import read_file
from wardgate.custody.note import MAX_NOTE, parse_key
from wardgate.custody.recover import Damaged, records_of, replay
from wardgate.custody.tiles import MAX_BUNDLE, TileBuilder

_TRIES: Final = 5


def check_tail(log: str) -> int:
    """Return how many records are durable, when the tail since the last checkpoint verifies; a writer may be at work.

    The key is the `vkey` beside the log, to which the writer holds itself. Raises `Damaged`, `NoteError`, `TileError` (it contradicts
    itself), `OSError` (it cannot be read).
    """
    for attempt in range(_TRIES):
        try:
            return _check(log)
        except (Damaged, FileNotFoundError):
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1 * (attempt + 1))  # the writer may be turning to a new file
    raise AssertionError


def _check(log: str) -> int:
    key = parse_key(read_file(os.path.join(log, "vkey"), 4096).decode("utf-8", "replace"))
    try:
        head = open_checkpoint(read_file(os.path.join(log, "checkpoint"), MAX_NOTE), key)
    except FileNotFoundError:
        head = Checkpoint(key.name, 0, b"")
    if head.size:
        edge = TileBuilder.load(lambda path: read_file(os.path.join(log, path), MAX_BUNDLE), head.size)
        if edge.root() != head.root:
            raise Damaged(f"the tiles do not give the root of the checkpoint of {head.size} records")
    found, _ = replay(log, head.size)
    for _ in records_of(found.segments, head.size, found.state.next_index):
        pass
    return found.state.next_index
