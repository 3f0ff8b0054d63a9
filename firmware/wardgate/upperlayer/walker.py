"""The walker: follows one direction of a relayed association, from PDU to PDV to message, without copying data set bytes.

It reads headers only. Bytes of P-DATA-TF pass as they came (`Follower.passes`), in as few pieces as possible. Three
things are kept back until they are whole, because somebody may have to decide before they leave the box:

* a PDU that is not P-DATA-TF: it goes to `Follower.control` and passes only if the follower sends it;
* the command set of a message (PS3.7 6.3): `Follower.command` sees it before one byte of it has passed;
* a header cut by the end of a read;
* a command set that `Follower.command` cannot take yet (`NotYet`), with all that is behind it.

What is kept back stays with the caller: `feed` says how many bytes it has dealt with, and the caller puts the rest in front
of what it reads next. Long association PDUs are the exception: they are collected here, up to their bound.

Data set fragments go to the *sink* that `Follower.command` returned, as slices of the caller's buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol

from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.terms import AbortReason, PduType

Sink = Callable[[memoryview], object]
Segment = tuple[int, int, int]  # of a command: start and end in it, and where that lies in the data given to `feed`

# PS3.8 9.3.1: PDU type, reserved, PDU length; PS3.8 9.3.5.1: PDV item length, presentation context ID, message control header.
_FIRST: Final = struct.Struct(">BxIIBB").unpack_from
_NEXT: Final = struct.Struct(">IBB").unpack_from
_TWELVE: Final = struct.Struct(">QI").unpack_from
_LENGTH: Final = struct.Struct(">BxI").unpack_from
# Looked up once: members of an Enum are slow to reach.
_P_DATA_TF: Final = int(PduType.P_DATA_TF)
_FIRST_TYPE: Final = int(PduType.ASSOCIATE_RQ)
_LAST_TYPE: Final = int(PduType.ABORT)
_ASSOCIATE_AC: Final = int(PduType.ASSOCIATE_AC)

MAX_COMMAND: Final = 65536  # no command set of PS3.7 comes near; PS3.7 gives no bound
MAX_KEPT: Final = 131072  # a command set with its PDU and PDV headers
MAX_FRAGMENTS: Final = 256  # of one command set: all are read again at each byte that comes, and real ones have one or two
COMMAND: Final = 1  # PS3.8 E.2: bit 0 of the message control header
LAST: Final = 2  # bit 1
_CUT: Final = -2


class NotYet(Exception):
    """Raised by `Follower.command`: it takes this command later. It is kept back as one that is not whole yet, and shown again."""


class Follower(Protocol):
    """What the walker tells, in the order of the stream."""

    def passes(self, data: memoryview) -> None:
        """P-DATA-TF bytes that may leave the box now. The slice is valid only during the call."""
        ...

    def control(self, pdu: bytes) -> None:
        """A whole PDU that is not P-DATA-TF. It has not passed."""
        ...

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set; its bytes pass right after. Return the sink of its data set, or `None`. Raises `NotYet`."""
        ...

    def long_pdu(self, length: int) -> None:
        """A P-DATA-TF is longer than its receiver announced. Told once; it passes."""
        ...

    def data_set(self, context: int, length: int) -> None:
        """The data set of the last command is whole: `length` bytes went to the sink."""
        ...


class Walker:
    """One direction of one association. `expects_data` is set by the follower in `command`: does a data set come?"""

    __slots__ = (
        "_collected",
        "_context",
        "_flags",
        "_follower",
        "_left",
        "_length",
        "_max_associate",
        "_max_pdu",
        "_missing",
        "_pdu",
        "_sink",
        "_usual",
        "expects_data",
        "offset",
        "passed",
        "segments",
    )  # fmt: skip

    def __init__(self, follower: Follower, max_pdu: int, max_associate: int) -> None:
        self._follower = follower
        self._max_pdu = max_pdu
        self._usual = max_pdu  # or what the receiver announced: beyond it `_judge_length` looks
        self._max_associate = max_associate
        self._left = 0  # bytes still to come of the current data set fragment
        self._pdu = 0  # bytes still to come of the current P-DATA-TF after that fragment
        self._flags = 0
        self._context = 0
        self._sink: Sink | None = None
        self._length = 0
        self._collected: bytearray | None = None
        self._missing = 0
        self.expects_data = False
        self.offset = 0  # of the next byte, in the stream: for error messages
        self.passed = 0  # start, in the data given to `feed`, of what the next `passes` will show
        self.segments: list[Segment] = []  # of the command just shown; a new list each time

    @property
    def between_pdus(self) -> bool:
        """Has everything that passed ended with a whole PDU? Only then can an A-ABORT be put behind it."""
        return not self._left and not self._pdu

    @property
    def collecting(self) -> bool:
        """Is a PDU other than P-DATA-TF not whole yet?"""
        return self._collected is not None

    @property
    def received(self) -> int:
        """Bytes of the current data set so far."""
        return self._length

    def follow(self, follower: Follower) -> None:
        """Tell another follower from here on."""
        self._follower = follower

    def announced(self, maximum_length: int) -> None:
        """The receiver takes P-DATA-TF of up to `maximum_length` bytes after the header, 0 for any (PS3.8 D.1)."""
        if 0 < maximum_length < self._max_pdu:
            self._usual = maximum_length

    def _judge_length(self, length: int, off: int) -> None:
        if length > self._max_pdu:
            raise self._bad(off, "9.3.5", f"P-DATA-TF of {length} bytes, the bound is {self._max_pdu}")
        self._usual = self._max_pdu
        self._follower.long_pdu(length)

    def feed(self, data: memoryview) -> int:
        """Follow `data`, the next bytes of the stream. Returns how many were dealt with; give the rest again, with more behind it.

        Raises `PduError` (offset in the stream, clause, A-ABORT reason) for what PS3.8 does not permit.
        """
        off = 0
        n = len(data)
        if self._collected is not None:
            off = self._collect(data)
        elif n and not self._pdu and not self._left and data[0] != _P_DATA_TF:  # a PDU by itself, nearly always
            self.passed = 0
            off = self._control(data, 0)
            if off < 0:
                return 0
            if off == n:
                self.passed = off
                self.offset += off
                return off
        passed = off  # everything before it has been given to the follower
        self.passed = off
        follower = self._follower
        sink = self._sink
        pdu = self._pdu
        left = self._left
        flags = self._flags
        if left:
            end = off + left
            if end > n:
                if sink is not None:
                    sink(data[off:n])
                self._length += n - off
                self._left = end - n
                follower.passes(data if off == 0 else data[off:n])
                self.offset += n
                return n
            if sink is not None:
                sink(data[off:end])
            self._length += left
            off = end
            self._left = 0
            if flags & LAST:
                self._data_end()
                sink = None
        start, before = off, pdu
        boundary = -1 if pdu else off  # start of the last PDU seen here
        try:
            while off < n:
                start = off
                before = pdu
                if pdu:  # PS3.8 9.3.5: a further PDV item of the same PDU
                    if n - off < 6:
                        break
                    item, context, flags = _NEXT(data, off)
                    if item < 2 or item + 4 > pdu:
                        raise self._bad(off, "9.3.5.1", f"PDV item of {item} bytes in a P-DATA-TF with {pdu} left")
                    pdu -= item + 4
                    off += 6
                else:
                    if data[off] != _P_DATA_TF:
                        self._pdu = 0
                        if passed < off:
                            follower.passes(data[passed:off])
                            passed = off
                        off = self._control(data, off)
                        follower = self._follower  # a whole A-ASSOCIATE-RQ may have brought another one
                        if off < 0:
                            self.offset += start
                            return start
                        passed = self.passed = off
                        continue
                    boundary = off
                    if n - off < 12:
                        break
                    _type, length, item, context, flags = _FIRST(data, off)
                    if length > self._usual:
                        self._judge_length(length, off)
                    if item < 2 or item + 4 > length:
                        raise self._bad(off, "9.3.5.1", f"PDV item of {item} bytes in a P-DATA-TF of {length}")
                    pdu = length - item - 4
                    off += 12
                left = item - 2
                if flags & COMMAND:
                    if self.expects_data:
                        raise self._bad(start, "E.1", "command fragment inside the data set of another message")
                    if flags & LAST and off + left <= n and left <= MAX_COMMAND:  # nearly always: one fragment, and it is here
                        self.segments = [(0, left, off)]
                        self._context = context
                        self._length = 0
                        self.expects_data = False
                        self._sink = sink = follower.command(context, bytearray(data[off : off + left]))
                        off += left
                        continue
                    off, pdu = self._command(data, off, left, pdu, context, flags)
                    if off < 0:  # not whole yet: keep it back from the start of its PDU or PDV item
                        off = start
                        pdu = before
                        break
                    if pdu == _CUT:  # an abort (PS3.8 7.3) cut the message: what was kept back of it never leaves
                        self._pdu = before
                        if passed < start:
                            follower.passes(data[passed:start])
                        pdu = 0
                        passed = self.passed = off
                        continue
                    sink = self._sink
                    continue
                if not self.expects_data:
                    raise self._bad(start, "E.1", "data set fragment without a command that announced it")
                if context != self._context:
                    raise self._bad(start, "E.1", f"data set on context {context}, its command was on {self._context}")
                end = off + left
                if end > n:
                    if sink is not None:
                        sink(data[off:n])
                    self._length += n - off
                    self._left = end - n
                    self._flags = flags
                    off = n
                    break
                if sink is not None:
                    sink(data[off:end])
                self._length += left
                off = end
                if flags & LAST:
                    self._data_end()
                    sink = None
                elif not pdu and not before:
                    # A data set comes as a row of PDUs with the same twelve bytes in front: compare them instead of reading them.
                    same = _TWELVE(data, start)
                    size = left + 12
                    last = n - size
                    while off <= last and _TWELVE(data, off) == same:
                        if sink is not None:
                            sink(data[off + 12 : off + size])
                        off += size
                    self._length += (off - end) // size * left
        except NotYet:
            self.expects_data = False  # the follower has read the command already
            self._pdu = before
            if passed < start:
                follower.passes(data[passed:start])
            self.offset += start
            return start
        except Exception:
            # Whole PDUs in front of a wrong one still pass; where a PDU began in an earlier read, so does what came of it.
            self._pdu, end = (0, boundary) if boundary >= passed else (before, start)
            if passed < end:
                follower.passes(data[passed:end])
            raise
        self._pdu = pdu
        if passed < off:
            follower.passes(data[passed:off] if passed or off < n else data)
        if n - off > MAX_KEPT:
            raise self._bad(off, "9.3.5", f"a command set with more than {MAX_KEPT} bytes of fragments")
        self.offset += off
        return off

    def _command(self, data: memoryview, off: int, left: int, pdu: int, context: int, flags: int) -> tuple[int, int]:
        """Gather a command set that begins at `off`. Returns (offset behind it, bytes left of its PDU), or (-1, 0): not whole yet."""
        n = len(data)
        command = bytearray()
        segments: list[Segment] = []
        while True:
            size = len(command)
            if size + left > MAX_COMMAND:
                raise self._bad(off, "9.3.5.1", f"command set of more than {MAX_COMMAND} bytes")
            if off + left > n:
                return -1, 0
            if len(segments) == MAX_FRAGMENTS:
                raise self._bad(off, "9.3.5.1", f"command set in more than {MAX_FRAGMENTS} fragments")
            segments.append((size, size + left, off))
            command += data[off : off + left]
            off += left
            if flags & LAST:
                break
            if pdu:
                if n - off < 6:
                    return -1, 0
                item, other, flags = _NEXT(data, off)
                room = pdu
                pdu -= item + 4
                head = 6
            else:
                if off < n and data[off] != PduType.P_DATA_TF:
                    if data[off] == PduType.ABORT:
                        return off, _CUT
                    raise self._bad(off, "9.3.1", f"PDU type {data[off]:02X}H inside a command set")
                if n - off < 12:
                    return -1, 0
                _type, length, item, other, flags = _FIRST(data, off)
                if length > self._usual:
                    self._judge_length(length, off)
                room = length
                pdu = length - item - 4
                head = 12
            if item < 2 or item + 4 > room:
                raise self._bad(off, "9.3.5.1", f"PDV item of {item} bytes in a P-DATA-TF with {room} left")
            if not flags & COMMAND or other != context:
                raise self._bad(off, "E.1", "a fragment of another message inside a command set")
            off += head
            left = item - 2
        self.segments = segments
        self._context = context
        self._length = 0
        self.expects_data = False
        self._sink = self._follower.command(context, command)
        return off, pdu

    def _data_end(self) -> None:
        """The data set is whole."""
        self.expects_data = False
        self._sink = None
        self._follower.data_set(self._context, self._length)

    def _control(self, data: memoryview, off: int) -> int:
        """Take the PDU at `off`, which is not P-DATA-TF. Returns the offset behind it, or -1: give it again with more behind it."""
        kind = data[off]
        if not _FIRST_TYPE <= kind <= _LAST_TYPE:
            raise PduError(self.offset + off, "9.3.1", f"PDU type {kind:02X}H does not exist", AbortReason.UNRECOGNIZED_PDU)
        if len(data) - off < 6:
            return -1
        _type, length = _LENGTH(data, off)
        bound = self._max_associate if kind <= _ASSOCIATE_AC else 4
        if length > bound:
            raise self._bad(off, "9.3", f"{PduType(kind).name} of {length} bytes, the bound is {bound}")
        end = off + 6 + length
        if end > len(data):
            self._collected = bytearray(data[off:])
            self._missing = end - len(data)
            return len(data)
        self._follower.control(bytes(data[off:end]))
        return int(end)

    def _collect(self, data: memoryview) -> int:
        """Add to a PDU being collected. Returns how many bytes of `data` it took."""
        assert self._collected is not None
        used = min(len(data), self._missing)
        self._collected += data[:used]
        self._missing -= used
        if not self._missing:
            pdu = bytes(self._collected)
            self._collected = None
            self._follower.control(pdu)
        return used

    def _bad(self, off: int, clause: str, message: str) -> PduError:
        return PduError(self.offset + off, clause, message, AbortReason.INVALID_PARAMETER_VALUE)
