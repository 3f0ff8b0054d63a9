"""The custody log whole, after an update: slower than the tail, so the new slot is good before and this is only told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.custody.export import ExportError, check
from wardgate.custody.note import NoteError
from wardgate.custody.tiles import TileError

if TYPE_CHECKING:
    from wardgate.log import Log


def check_whole(directory: str, log: Log) -> bool:
    """Check every record under the checkpoint; tell the result."""
    try:
        done = check(directory)
    except FileNotFoundError as error:  # nothing was signed yet, or the writer moved on: the tail was good a moment ago
        log.event(Code.UPDATE_LOG_NOT_CHECKED, detail=error)
        return False
    except (ExportError, NoteError, TileError, OSError) as error:
        log.event(Code.UPDATE_LOG_DAMAGED, detail=error)
        return False
    log.event(Code.UPDATE_LOG_WHOLE, records=done.size)
    return True
