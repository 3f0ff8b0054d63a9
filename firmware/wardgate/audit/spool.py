"""The messages that wait for repositories: durable, bounded, in the files and frames of the custody log's write-ahead files.

Each start writes a new file; one that was written before is read only. A message has a number, which never comes again; repositories
remember up to which they have had everything (`marks`). When the bound is reached the oldest file goes, whoever has not had it
(decision 050). Written on one thread, read by others.
"""

from __future__ import annotations

import os
import threading
from array import array
from contextlib import suppress
from typing import Final, NamedTuple

from wardgate.custody import frames, wal
from wardgate.custody.files import sync_directory

SEGMENT_BYTES: Final = wal.CHUNK  # a file is allocated whole, so that a full disk is met when it begins
MAX_MESSAGE: Final = 64 * 1024
_NOBODY: Final = bytes(16)


class Message(NamedTuple):
    """One message that waits, and its number."""

    number: int
    data: bytes


class _Segment:
    """One file: numbers from `first` on, one after the other, and where each lies."""

    def __init__(self, path: str, fd: int, first: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.first = first
        self.size = size  # bytes on the disk
        self.places = array("L")
        self.lengths = array("L")

    @property
    def end(self) -> int:
        """The number behind its last message."""
        return self.first + len(self.places)

    def cut(self, number: int) -> None:
        """Forget the messages from `number` on."""
        keep = max(0, number - self.first)
        del self.places[keep:], self.lengths[keep:]


class Spool:
    """A folder of files. Not open before `open`."""

    def __init__(self, directory: str, bound_bytes: int) -> None:
        """`bound_bytes`: most that its files may have together; at least two segments."""
        self._directory = directory
        self._bound = max(bound_bytes, 2 * SEGMENT_BYTES)
        self._segments: list[_Segment] = []
        self._wal: wal.Wal | None = None
        self._number = 0  # of the file being written
        self._lock = threading.Lock()
        self._next = 0
        self.damaged = 0  # files with something behind their last good frame that had been on the disk
        self.synced = 0  # all messages below this number are on the disk

    def open(self, next_at_least: int) -> None:
        """Read what is there. `next_at_least`: numbers below were given before. Raises `OSError`."""
        self._next = next_at_least
        for number in wal.wal_numbers(self._directory):
            self._number = max(self._number, number)
            self._load(wal.wal_path(self._directory, number))
        if self._segments:
            self._next = max(self._next, self._segments[-1].end)
        self.synced = self._next

    def _load(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read()
        segment: _Segment | None = None
        at = 0
        while (frame := frames.decode(data, at)) is not None:
            if segment is None:
                segment = _Segment(path, fd, frame.place, 0)
            if frame.place != segment.end:
                break
            segment.places.append(frame.end - len(frame.payload))
            segment.lengths.append(len(frame.payload))
            at = frame.end
        if frames.acknowledged_after(data, at, 0):
            self.damaged += 1
        if segment is None:
            os.close(fd)
            os.unlink(path)  # nothing was ever written to it
            return
        if self._segments:
            self._segments[-1].cut(segment.first)  # what a failed sync left there: nobody was told of it, and it was written again
        os.ftruncate(fd, at)  # what was allocated and not used, or torn: nobody was told that it is kept
        segment.size = at
        self._segments.append(segment)

    # Writing

    def append(self, data: bytes) -> int:
        """Write one message; return its number. It is kept after `sync`. Raises `OSError`: then nothing since the last `sync` is kept."""
        if len(data) > MAX_MESSAGE:
            raise ValueError("a message out of bounds")
        encoded = frames.encode(self._wal.synced if self._wal is not None else 0, self._next, frames.Kind.EVENT, _NOBODY, 0, data)
        if self._wal is None or len(encoded) > self._wal.room:
            self._turn()
            encoded = frames.encode(0, self._next, frames.Kind.EVENT, _NOBODY, 0, data)
        writer, segment = self._wal, self._segments[-1]
        assert writer is not None
        try:
            writer.write(encoded)
        except OSError:
            self._retreat()
            raise
        with self._lock:
            segment.places.append(writer.position - len(data))
            segment.lengths.append(len(data))
            self._next += 1
        return self._next - 1

    def sync(self) -> None:
        """Make everything written durable. Raises `OSError`: then nothing since the last `sync` is kept."""
        if self._wal is not None and self._wal.synced < self._wal.position:
            try:
                self._wal.sync()
            except OSError:
                self._retreat()
                raise
        self.synced = self._next

    def _retreat(self) -> None:
        """A write or sync failed: the end of this file is not to be trusted. What was not synced is forgotten, another file begins."""
        assert self._wal is not None
        with self._lock:
            self._segments[-1].cut(self.synced)
            self._next = self.synced
        with suppress(OSError):
            os.ftruncate(self._wal.fd, self._wal.synced)
        self._wal = None

    def _turn(self) -> None:
        """Begin another file; let the oldest go while the bound is passed."""
        self.sync()
        while self._segments and self.size + SEGMENT_BYTES > self._bound:
            self._drop(self._segments[0])
        self._wal = None
        self._number += 1
        fresh = wal.create(self._directory, self._number, SEGMENT_BYTES)
        with self._lock:
            self._segments.append(_Segment(fresh.path, fresh.fd, self._next, SEGMENT_BYTES))
        self._wal = fresh

    def forget_below(self, number: int) -> None:
        """Every repository has all messages below `number`: files that hold nothing else go. Raises `OSError`."""
        while len(self._segments) > (1 if self._wal is not None else 0) and self._segments[0].end <= number:
            self._drop(self._segments[0])

    def _drop(self, segment: _Segment) -> None:
        os.unlink(segment.path)
        with self._lock:
            self._segments.remove(segment)
        os.close(segment.fd)
        sync_directory(self._directory)

    def close(self) -> None:
        """Sync and close. Raises `OSError`."""
        self.sync()
        for segment in self._segments:
            os.close(segment.fd)
        self._segments, self._wal = [], None

    # Reading

    @property
    def first(self) -> int:
        """The number of the oldest message that is still there; `next` when there is none."""
        with self._lock:
            return next((segment.first for segment in self._segments if segment.places), self._next)

    @property
    def next(self) -> int:
        """The number that the next message will have."""
        return self._next

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def bound(self) -> int:
        """Most that there may be, bytes."""
        return self._bound

    def read(self, number: int, count: int) -> list[Message]:
        """Return at most `count` durable messages in their order, the first one numbered `number` or, when that one went, the next that
        is there. Raises `OSError`. From any thread."""
        found: list[Message] = []
        with self._lock:  # a file is not closed while it is read
            for segment in self._segments:
                while len(found) < count and number < min(segment.end, self.synced):
                    number = max(number, segment.first)
                    at = number - segment.first
                    found.append(Message(number, os.pread(segment.fd, segment.lengths[at], segment.places[at])))
                    number += 1
        return found
