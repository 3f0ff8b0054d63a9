"""A segment: a file into which one worker writes instances one after the other. Its name is its generation, a lock says it is in use.

segment   head | instance, at a block | instance, at a block | ...
instance  mark (see `mark`) | head in clear (see `header`) | chunks and trailer (see `seal`)

The mark is written last: an instance without one was never finished. A segment is not written to again once its worker has closed it.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from wardgate.hold.files import Files
from wardgate.hold.mark import BLOCK, MARK_BYTES, Kind, Mark, aligned, encode_head
from wardgate.hold.seal import CHUNK_BYTES, Sealer

SEGMENT_BYTES: Final = 64 << 20  # from there on no further instance is begun in a segment
SUFFIX: Final = ".seg"
_START_BYTES: Final = 4 * CHUNK_BYTES  # of one instance: then the kernel is told to begin writing
_SMALL_BYTES: Final = 128 << 10
_LAY_BYTES: Final = 1 << 20  # of zeros laid behind small instances: a sync of what overwrites them needs no commit of the journal
_ZEROS: Final = bytes(_LAY_BYTES)
_NOTHING: Final = memoryview(b"")


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


class Body:
    """An instance being written. Bytes are gathered to chunks; `written` counts plain ones, `size` those in the segment."""

    __slots__ = ("_chunk", "_files", "_have", "_head", "_sealer", "_started", "mark", "offset", "segment", "size", "written")

    def __init__(self, files: Files, segment: Segment, head: bytes, sealer: Sealer) -> None:
        self._files = files
        self.segment = segment
        self.offset = segment.position
        self._head: bytes = bytes(MARK_BYTES) + head  # goes with the first chunk
        self._sealer = sealer
        self._chunk = memoryview(bytearray(CHUNK_BYTES))
        self._have = 0
        self._started = 0
        self.size = 0
        self.written = 0
        self.mark: Mark | None = None

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the data set. Raises `OSError`."""
        size = len(data)
        self.written += size
        have = self._have
        if have + size < CHUNK_BYTES:
            self._chunk[have : have + size] = data
            self._have = have + size
            return
        at = 0
        while at < size:
            piece = min(size - at, CHUNK_BYTES - self._have)
            self._chunk[self._have : self._have + piece] = data[at : at + piece]
            self._have += piece
            at += piece
            if self._have == CHUNK_BYTES:
                self._flush()

    def finish(self, trailer: bytes) -> None:
        """Write what is left and the trailer; the mark is still missing. Raises `OSError`."""
        parts: list[bytes | memoryview] = [self._sealer.chunk(self._chunk[: self._have])] if self._have else []
        parts.append(self._sealer.trailer(trailer))
        self._chunk = _NOTHING
        self._have = 0
        self._put(*parts)

    def keep(self, number: int, id_: bytes) -> Mark:
        """Write the mark and make the instance durable. Raises `OSError`: the segment is not to be trusted then."""
        segment = self.segment
        self.mark = mark = Mark(number, id_, self.size, Kind.KEPT)
        try:
            self._files.write_at(segment.fd, mark.encode(segment.generation), self.offset)
            segment.laid = max(segment.laid, self.offset + self.size)
            end = aligned(self.offset + self.size)
            if self.size < _SMALL_BYTES and segment.laid < end + self.size:
                self._files.write_at(segment.fd, _ZEROS, end)
                segment.laid = end + _LAY_BYTES
            self._files.sync(segment.fd)
            segment.name(self._files)
        except OSError:
            segment.broken = True
            raise
        segment.position = aligned(self.offset + self.size)
        return mark

    def abandon(self) -> None:
        """It will not be finished: what was written of it goes. Raises `OSError`."""
        if self.size:
            self.segment.laid = min(self.segment.laid, self.offset)
            self._files.truncate(self.segment.fd, self.offset)

    def _flush(self) -> None:
        sealed = self._sealer.chunk(self._chunk[: self._have])
        self._have = 0
        self._put(sealed)
        if self.size - self._started >= _START_BYTES:
            start, self._started = self._started, self.size
            self._files.start(self.segment.fd, self.offset + start, self.size - start)

    def _put(self, *parts: bytes | memoryview) -> None:
        if self._head:
            parts = (self._head, *parts)
            self._head = b""
        try:
            if len(parts) == 1:
                self._files.write_at(self.segment.fd, parts[0], self.offset + self.size)
            else:
                self._files.write_parts(self.segment.fd, parts, self.offset + self.size)
        except OSError:
            self.segment.broken = True
            raise
        self.size += sum(map(len, parts))


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
