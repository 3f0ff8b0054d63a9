"""An instance that is being written to a segment.

instance  mark (see `mark`) | head in clear (see `header`) | chunks and trailer (see `seal`)

It is gathered in slabs and goes to the disk in pieces of whole blocks, beside the loop where that can be; what fits into one piece goes
there once, with its mark. Otherwise the mark is written last: an instance without one was never finished.
"""

from __future__ import annotations

import mmap
import threading
import zlib
from collections.abc import Callable
from typing import Final

from wardgate.hold.files import Files
from wardgate.hold.header import with_record
from wardgate.hold.mark import BLOCK, MARK_BYTES, Kind, Mark, aligned
from wardgate.hold.seal import CHUNK_BYTES, Sealer
from wardgate.hold.segment import Segment
from wardgate.hold.slabs import Slab, Slabs

_SMALL_BYTES: Final = 128 << 10
_AROUND: Final = 4096  # more than the lengths and tags of two chunks, and a trailer
_NOTHING: Final = memoryview(bytearray())
_ZEROS: Final = memoryview(mmap.mmap(-1, 1 << 20))  # laid behind small instances: to sync what overwrites them needs no journal commit

Aside = Callable[[Callable[[], None]], None]  # runs what may wait for the disk beside the loop, soon


class Body:
    """An instance being written. Bytes are gathered to chunks; `written` counts plain ones, `size` those in the segment.

    One thread at a time: the loop until `finish`, then whoever calls `keep` or `abandon`, which wait for what is under way.
    """

    __slots__ = ("_aside", "_carries", "_chunk", "_error", "_files", "_first", "_flying", "_have", "_id", "_placed", "_sealer", "_slab",
                 "_slabs", "_touched", "_used", "mark", "offset", "segment", "written")  # fmt: skip

    def __init__(
        self, files: Files, segment: Segment, id_: bytes, head: bytes, sealer: Sealer, slabs: Slabs, aside: Aside | None = None
    ) -> None:
        """`id_`: 8 random bytes."""
        self._files = files
        self._slabs = slabs
        self._aside = aside
        self._sealer = sealer
        self._slab: Slab | None = slabs.take()
        self._used = MARK_BYTES + len(head)
        self._slab.memory[: self._used] = bytes(MARK_BYTES) + head
        self._first = b""  # block of the instance, once it was written without its mark
        self._placed = 0  # bytes given to the disk
        self._touched = False  # something may be in the segment
        self._chunk = _NOTHING  # gathered to a whole one; most small instances need none
        self._have = 0
        self._flying: threading.Lock | None = None  # held while a piece is being written
        self._error: OSError | None = None  # of that piece
        self._id = id_
        self._carries = False
        self.segment = segment
        self.offset = segment.position
        self.written = 0
        self.mark: Mark | None = None

    @property
    def size(self) -> int:
        """Bytes from the mark to what was sealed last."""
        return self._placed + self._used

    @property
    def behind(self) -> bool:
        """Does the disk take longer than the bytes? Then no more should be read until a piece has landed."""
        return self._flying is not None and self._flying.locked() and self._slab is not None and self._used >= self._slab.piece // 2

    def takes(self, size: int) -> bool:
        """Do that many bytes and the trailer fit behind what was gathered, so that nothing is to be written before they have come?"""
        return not self._placed and self._slab is not None and self._used + self._have + size + _AROUND <= self._slab.piece

    def carry(self, record: bytes) -> None:
        """Have the text of the custody record in the head, durable and sealed with the instance. Before the first byte of the data set."""
        memory = self._memory()
        head = with_record(bytes(memory[MARK_BYTES : self._used]), record)
        self._used = MARK_BYTES + len(head)
        memory[MARK_BYTES : self._used] = head
        self._sealer.behind(head)
        self._carries = True

    def write(self, data: memoryview, last: bool = False) -> None:
        """Take the next bytes of the data set; `last`: there are no more behind them. Raises `OSError`."""
        size = len(data)
        self.written += size
        have = self._have
        if last and not have:  # as they lie
            for at in range(0, size, CHUNK_BYTES):
                self._seal(data[at : at + CHUNK_BYTES])
            return
        if not self._chunk:
            self._chunk = memoryview(bytearray(CHUNK_BYTES))
        if have + size < CHUNK_BYTES:
            self._chunk[have : have + size] = data
            self._have = have + size
            return
        at = 0
        while at < size:
            if not self._have and size - at >= CHUNK_BYTES:  # a whole chunk at once needs no gathering
                self._seal(data[at : at + CHUNK_BYTES])
                at += CHUNK_BYTES
                continue
            piece = min(size - at, CHUNK_BYTES - self._have)
            self._chunk[self._have : self._have + piece] = data[at : at + piece]
            self._have += piece
            at += piece
            if self._have == CHUNK_BYTES:
                self._have = 0
                self._seal(self._chunk)

    def finish(self, trailer: bytes) -> None:
        """Take what is left and the trailer; the mark is still missing. Raises `OSError`."""
        if self._have:
            self._seal(self._chunk[: self._have])
            self._have = 0
        sealed = self._sealer.trailer(trailer)
        memory = self._memory()
        memory[self._used : self._used + len(sealed)] = sealed
        self._used += len(sealed)

    def keep(self, number: int) -> Mark:
        """Write the mark and make the instance durable. Raises `OSError`: the segment is not to be trusted then."""
        segment, memory = self.segment, self._memory()
        self._touched = True
        try:
            self._land()
            check = zlib.crc32(memory[MARK_BYTES : self._used]) if self._carries and not self._placed else None
            self.mark = mark = Mark(number, self._id, self.size, Kind.KEPT, check)
            end = aligned(self._used)
            memory[self._used : end] = bytes(end - self._used)
            if not self._placed:
                memory[:MARK_BYTES] = mark.encode(segment.generation)
                self._write_once(memory[:end])
            else:
                self._files.write_at(segment.fd, memory[:end], self.offset + self._placed)
                memory[:BLOCK] = mark.encode(segment.generation) + self._first[MARK_BYTES:]
                self._files.write_at(segment.fd, memory[:BLOCK], self.offset)
                self._files.sync(segment.fd)
            segment.name(self._files)
            end = aligned(self.offset + self.size)
            segment.laid = max(segment.laid, end)
        except OSError:
            segment.broken = True
            raise
        segment.position = end
        self._let_go()
        return mark

    def _write_once(self, whole: memoryview) -> None:
        """Write all of the instance and make it durable: in one call, but with zeros behind it where the next small ones go."""
        segment, end = self.segment, self.offset + len(whole)
        if len(whole) >= _SMALL_BYTES or segment.laid >= end + len(whole):
            self._files.write_durable(segment.fd, whole, self.offset)
            return
        self._files.write_at(segment.fd, whole, self.offset)
        self._files.write_at(segment.fd, _ZEROS, end)
        segment.laid = end + len(_ZEROS)
        self._files.sync(segment.fd)

    def abandon(self) -> None:
        """It will not be finished: what was written of it goes. Raises `OSError`."""
        try:
            self._land()
        except OSError:
            self.segment.broken = True
        self._let_go()
        if self._touched:
            self.segment.laid = min(self.segment.laid, self.offset)
            self._files.truncate(self.segment.fd, self.offset)

    def _memory(self) -> memoryview:
        assert self._slab is not None
        return self._slab.memory

    def _seal(self, data: memoryview) -> None:
        memory = self._memory()
        self._used += self._sealer.chunk(data, memory[self._used :])
        if self._slab is not None and self._used >= self._slab.piece:
            self._put()

    def _put(self) -> None:
        """Write the whole blocks of what was gathered, beside the loop if there is a second slab; go on behind them."""
        slab = self._slab
        assert slab is not None
        self._touched = True
        whole = self._used // BLOCK * BLOCK
        place = self.offset + self._placed
        self._land()
        if not self._placed:
            self._first = bytes(slab.memory[:BLOCK])
        self._placed += whole
        self._used -= whole
        other = self._slabs.take_large() if self._aside is not None else None
        if other is None:
            self._write(slab, whole, place)
            slab.memory[: self._used] = slab.memory[whole : whole + self._used]
            return
        other.memory[: self._used] = slab.memory[whole : whole + self._used]
        self._slab = other
        self._flying = flying = threading.Lock()
        flying.acquire()

        def write() -> None:
            try:
                self._write(slab, whole, place)
            except OSError as error:
                self._error = error
            finally:
                self._slabs.give(slab)
                flying.release()

        assert self._aside is not None
        self._aside(write)

    def _write(self, slab: Slab, size: int, place: int) -> None:
        try:
            self._files.write_at(self.segment.fd, slab.memory[:size], place)
        except OSError:
            self.segment.broken = True
            raise

    def _land(self) -> None:
        """Wait for the piece that is being written. Raises `OSError`, its own."""
        if self._flying is not None:
            with self._flying:
                self._flying = None
        if self._error is not None:
            raise self._error

    def _let_go(self) -> None:
        if self._slab is not None:
            self._slabs.give(self._slab)
            self._slab = None
