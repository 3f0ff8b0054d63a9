"""A segment: a file into which one worker writes instances one after the other. Its name is its generation, a lock says it is in use.

segment   head | instance, at a block (see `body`) | instance, at a block | ...

A segment is not written to again once its worker has closed it.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from wardgate.hold.files import Files
from wardgate.hold.mark import BLOCK, Kind, Mark, aligned, encode_head

SEGMENT_BYTES: Final = 64 << 20  # from there on no further instance is begun in a segment
SUFFIX: Final = ".seg"


class Segment:
    """A segment that this process writes. One instance at a time."""

    __slots__ = ("broken", "fd", "generation", "laid", "named", "path", "position")

    def __init__(self, files: Files, folder: str) -> None:
        """Make a new one; its name is durable after `name`. Raises `OSError`."""
        self.generation = os.urandom(8)
        self.path = os.path.join(folder, self.generation.hex() + SUFFIX)
        self.fd = files.create(self.path)
        self.named = False
        self.broken = False
        self.position = BLOCK
        self.laid = BLOCK  # end of what was written, of zeros too
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            files.write_at(self.fd, encode_head(self.generation), 0)
            files.direct(self.fd)
        except OSError:
            files.close(self.fd)
            files.unlink(self.path)
            raise

    def name(self, files: Files) -> None:
        """Make head and name durable. Raises `OSError`."""
        if not self.named:
            files.sync(self.fd)
            files.sync_directory(os.path.dirname(self.path))
            self.named = True

    @property
    def usable(self) -> bool:
        """May another instance be begun in it?"""
        return not self.broken and self.position < SEGMENT_BYTES

    def close(self, files: Files) -> None:
        """Write no more to it. The lock goes with the descriptor."""
        files.close(self.fd)


def void(files: Files, path: str, generation: bytes, offset: int, mark: Mark) -> None:
    """Take a kept instance back: nobody was told that it is stored. Raises `OSError`."""
    fd = files.open(path)
    try:
        files.write_at(fd, mark._replace(kind=Kind.VOID).encode(generation), offset)
        first, end = offset + BLOCK, aligned(offset + mark.length)
        if end > first:
            files.punch(fd, first, end - first)
    finally:
        files.close(fd)
