"""Is there room for what we are about to promise? Asked before an association may begin and when it needs more.

A promise stands on two legs: the write-ahead file is preallocated for every reserved byte (so an admitted record can always be
written), and the file system has as much free again for the tiles that will be made from it, plus `TILE_SLACK` for partial ones.
"""

from __future__ import annotations

import os
from typing import Final

from wardgate.custody.wal import Wal

TILE_SLACK: Final = 1024 * 1024


def free_bytes(place: str | int) -> int:
    """Return what the file system has left for us. `place`: a path, or the descriptor of an open file."""
    info = os.statvfs(place)
    return info.f_bavail * info.f_frsize


def admit(wal: Wal, promised: int, unsealed: int, more: int) -> bool:
    """Preallocate for `more` bytes on top of `promised` ones; False when there is no room.

    `promised`: reserved bytes and those queued but not yet written; `unsealed`: bytes written that no checkpoint covers.
    """
    need = promised + more
    growth = max(0, need - wal.room)
    if free_bytes(wal.fd) < growth + need + unsealed + TILE_SLACK:
        return False
    try:
        wal.reserve(need)
    except OSError:
        return False
    return True
