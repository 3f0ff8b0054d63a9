"""Puts edited data sets back into P-DATA-TF (PS3.8 9.3.5): the stage between the walker and the wire on a leg with the `dataset` edit.

It takes what the walker lets pass, in order, and returns what leaves. What the edit does not touch leaves as the PDUs that came. While
the edit reads the head of a data set, PDUs wait here until it is known whether they leave as they came or are made anew; new ones are
as long as the receiver announced, at most (PS3.8 D.1). A PDU above `MAX_WHOLE` bytes with a head in it, or with several PDVs, is not
waited for: it leaves as several PDUs with the same data.

Bounds: one PDU of `MAX_WHOLE` bytes, and what waits for group 0100: `MAX_WAITING` bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from typing import Final

from wardgate.edit import EditError
from wardgate.edit.dataset import DatasetEdit, Piece

MAX_WHOLE: Final = 262144
MAX_WAITING: Final = 524288
_USUAL: Final = 131072  # for a receiver that takes any length
_P_DATA: Final = 4
_COMMAND: Final = 1  # PS3.8 E.2
_LAST: Final = 2
_LENGTH: Final = struct.Struct(">2xI")
_ITEM: Final = struct.Struct(">IBB")
_HEAD: Final = struct.Struct(">BxIIBB")


class Passing:
    """A data set that is edited as it passes. `sha`: of what left; it means something when `changed` and `whole` (its end has left)."""

    __slots__ = ("edit", "instance", "sha", "whole")

    def __init__(self, edit: DatasetEdit, instance: str) -> None:
        self.edit = edit
        self.instance = instance
        self.sha = hashlib.sha256()
        self.whole = False

    @property
    def changed(self) -> bool:
        """Did other bytes leave than came?"""
        return self.edit.changed

    def feed(self, data: memoryview, last: bool) -> list[Piece]:
        """Edit the next bytes."""
        pieces = self.edit.feed(data, last)
        if self.edit.changed or not self.edit.over:
            for piece in pieces:
                self.sha.update(piece)
        return pieces


class Reframer:
    """One direction of one association. `maximum`: the longest P-DATA-TF that the receiver takes, 0: any."""

    __slots__ = (
        "_at_hand", "_context", "_control", "_current", "_expected", "_failed", "_in_data", "_new", "_pdu", "_pdv", "_raw", "_raw_left",
        "_ready", "_room", "_run", "_same", "_spare", "_waiting", "_want", "between_pdus", "edited",
    )  # fmt: skip

    def __init__(self, maximum: int) -> None:
        self._room = (max(maximum, 8) if maximum else _USUAL) - 6 & ~1  # fragments are even: DCMTK refuses others
        self._expected: deque[Passing | None] = deque()
        self._current: Passing | None = None
        self._in_data = False  # between the first and the last fragment of a data set
        self._at_hand = bytearray()  # of a header, or of a PDU that is wanted whole
        self._want = 6
        self._raw_left = 0  # bytes still to come of a PDU that passes as it is
        self._run = (0, 0)  # where the last piece of `_ready` lies in the data given to `feed`
        self._pdu = 0  # bytes still to come of a PDU that is made anew piece by piece
        self._pdv = -1  # and of the PDV in it; -1: its header comes
        self._context = self._control = 0
        self._raw: list[bytes] = []  # PDUs that wait
        self._new: list[tuple[int, int, list[Piece]]] = []  # what they would be anew: context, control header, data
        self._waiting = 0
        self._same = True  # can what waits leave as it came?
        self._spare = b""  # a byte that would make a fragment odd
        self._ready: list[Piece] = []
        self._failed: Exception | None = None
        self.between_pdus = True  # of what left
        self.edited: list[Passing] = []  # those that were changed; the caller empties it

    def expect(self, passing: Passing | None) -> None:
        """The command that passes next has a data set: edited, or `None`. In the order of the commands."""
        self._expected.append(passing)

    def take(self) -> list[Piece]:
        """Return what leaves now."""
        ready, self._ready = self._ready, []
        return ready

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the stream: whole PDUs or parts, which the walker has judged.

        Raises `DatasetError`; what `take` gives then came in front of the mistake. Once failed it takes nothing more.
        """
        if self._failed is not None:
            raise self._failed
        self._run = (0, 0)
        try:
            at, end = 0, len(data)
            while at < end:
                at = self._step(data, at, end)
        except Exception as error:
            self._failed = error
            raise

    def _step(self, data: memoryview, at: int, end: int) -> int:
        """Deal with some bytes of `data`; return where the next begin."""
        if self._raw_left:
            to = min(at + self._raw_left, end)
            self._raw_left -= to - at
            if self._run[1] == at and self._ready and at:
                self._run = (self._run[0], to)
                self._ready[-1] = data[self._run[0] : to]
            else:
                self._run = (at, to)
                self._ready.append(data[at:to])
            self.between_pdus = not self._raw_left
            return to
        if self._pdv > 0:
            to = min(at + self._pdv, end)
            self._pdv -= to - at
            self._part(data[at:to])
            return to
        if not self._pdu and not self._at_hand and end - at >= 12 and self._passes(data, at):
            return at  # nearly always
        to = min(at + self._want - len(self._at_hand), end)
        self._at_hand += data[at:to]
        if len(self._at_hand) == self._want:
            self._gathered()
        return to

    def _passes(self, header: memoryview | bytearray, at: int) -> bool:
        """Look at a PDU. Can it pass as it is, whatever is still to come of it?"""
        if header[at] != _P_DATA:
            self._raw_left = 6 + _LENGTH.unpack_from(header, at)[0]
            return True
        _type, length, item, _context, control = _HEAD.unpack_from(header, at)
        if item + 4 != length or not self._same or self._raw:
            return False
        if not control & _COMMAND:
            passing = self._begin()
            if passing is not None and (passing.changed or not passing.edit.over):
                return False
            self._ended(control)
        self._raw_left = 6 + length
        return True

    def _gathered(self) -> None:
        """A header, or a PDU that was wanted whole, is at hand."""
        at_hand = self._at_hand
        if self._pdu:
            item, self._context, self._control = _ITEM.unpack(at_hand)
            self._at_hand = bytearray()
            self._pdu -= 6
            self._pdv = item - 2
            if not self._pdv:
                self._part(memoryview(b""))
        elif self._want == 6 and at_hand[0] == _P_DATA:
            self._want = 12
        elif self._want <= 12 and self._passes(at_hand, 0):
            self._raw_left -= len(at_hand)
            self._ready.append(bytes(at_hand))
            self.between_pdus = not self._raw_left
            self._restart()
        elif self._want == 12 and 6 + _LENGTH.unpack_from(at_hand)[0] > MAX_WHOLE:
            _type, self._pdu, item, self._context, self._control = _HEAD.unpack(at_hand)
            self._pdu -= 6
            self._pdv = item - 2
            self._at_hand = bytearray()
            self._want = 6
            if not self._pdv:
                self._part(memoryview(b""))
        elif self._want == 12 and _LENGTH.unpack_from(at_hand)[0] > 6:
            self._want = 6 + _LENGTH.unpack_from(at_hand)[0]
        else:
            self._whole(bytes(at_hand))
            self._restart()

    def _restart(self) -> None:
        self._at_hand = bytearray()
        self._want = 6

    def _whole(self, pdu: bytes) -> None:
        """A whole P-DATA-TF: edit what is in it."""
        view = memoryview(pdu)
        at = 6
        while at < len(pdu):
            item, context, control = _ITEM.unpack_from(pdu, at)
            self._fragment(context, control, view[at + 6 : at + 4 + item])
            at += 4 + item
        self._raw.append(pdu)
        self._waiting += len(pdu)
        self._sync()

    def _part(self, data: memoryview) -> None:
        """The next bytes of a PDV in a PDU that is too long to be waited for."""
        self._pdu -= len(data)
        ended = not self._pdv
        self._same = False
        self._fragment(self._context, self._control if ended else self._control & ~_LAST, data)
        self._sync()
        if ended:
            self._pdv = -1

    def _begin(self) -> Passing | None:
        """Return what is done with the data set that the next fragment belongs to."""
        if not self._in_data:
            if not self._expected:
                raise EditError("a data set that no command announced")
            self._in_data = True
            self._current = self._expected.popleft()
        return self._current

    def _ended(self, control: int) -> None:
        if control & _LAST:
            if self._current is not None:
                self._current.whole = True
            self._in_data = False
            self._current = None

    def _fragment(self, context: int, control: int, data: memoryview) -> None:
        """One fragment, or a part of one."""
        pieces: list[Piece] = [data]
        if not control & _COMMAND:
            passing = self._begin()
            if passing is not None:
                before = passing.changed
                pieces = passing.feed(data, bool(control & _LAST))
                if passing.changed and not before:
                    self._same = False
                    self.edited.append(passing)
            self._ended(control)
        self._new.append((context, control, pieces))

    def _sync(self) -> None:
        """Let what waits leave, unless the edit still has some of it."""
        held = self._current is not None and self._current.edit.held > 0
        if self._same and held and self._waiting <= MAX_WAITING:
            return
        if self._same and not held:
            self._ready.extend(self._raw)
        else:
            for context, control, pieces in self._new:
                self._make(context, control, pieces)
            self._same = not held and not self._spare
        self._raw = []
        self._new = []
        self._waiting = 0
        self.between_pdus = True

    def _make(self, context: int, control: int, pieces: list[Piece]) -> None:
        """Make P-DATA-TFs with one PDV each."""
        body = b"".join((self._spare, *pieces))
        self._spare = b""
        if not control & _LAST:
            even = len(body) & ~1
            body, self._spare = body[:even], body[even:]
            if not body:
                return
        for at in range(0, max(len(body), 1), self._room):
            part = body[at : at + self._room]
            flags = control if at + self._room >= len(body) else control & ~_LAST
            self._ready.append(_HEAD.pack(_P_DATA, len(part) + 6, len(part) + 2, context, flags) + part)
