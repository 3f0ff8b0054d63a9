"""What the writer knows beside the records: which associations are open, their last record, their reserved space. Sans-IO."""

from __future__ import annotations

import struct
from typing import Final

from wardgate.custody.frames import OVERHEAD, RECORD_KINDS, Frame, Kind
from wardgate.custody.wire import NO_INDEX

KEPT_CLOSED: Final = 1024  # closed associations remembered, for items sent again after a restart
KEPT_RECENT: Final = 64  # places remembered for each association while the writer lives
_SAVED_RECENT: Final = 16  # and in a state frame
CLOSE_ROOM: Final = 512  # the writer's own close record and its frame; every open entry has it reserved on top
COMMITMENT: Final = b'{"v":1,"type":"commitment"'  # begins a record of the kind STORE that counts on in the same row, but is no store
_VERSION: Final = 1
_TOP: Final = struct.Struct("!BI")
_ENTRY: Final = struct.Struct("!16sBQIQQIB")
_PLACE: Final = struct.Struct("!IQ")


class StateError(Exception):
    """A state frame or a frame after it does not fit what came before."""


class Entry:
    """One association: its open entry, its last record, the bytes still reserved; `owner` is its connection (None: nobody's)."""

    __slots__ = ("association", "last_index", "last_seq", "opened", "owner", "recent", "reserved", "stores")

    def __init__(self, association: bytes, opened: int, reserved: int) -> None:
        self.association = association
        self.opened = opened
        self.last_seq = 0
        self.last_index = opened
        self.reserved = reserved
        self.stores = 0
        self.recent: dict[int, int] = {0: opened}
        self.owner: object | None = None

    def place(self, seq: int) -> int:
        """Return the index of the record with this `seq`, `NO_INDEX` when it is no longer remembered."""
        return self.recent.get(seq, NO_INDEX)

    def note(self, seq: int, index: int) -> None:
        """Remember that the record with `seq` has this index."""
        self.last_seq = seq
        self.last_index = index
        recent = self.recent
        recent[seq] = index
        if len(recent) > KEPT_RECENT:
            del recent[next(iter(recent))]


class State:
    """Open and lately closed associations, and the index of the next record."""

    def __init__(self, next_index: int = 0) -> None:
        self.next_index = next_index
        self.open: dict[bytes, Entry] = {}
        self.closed: dict[bytes, Entry] = {}
        self.reserved = 0  # sum over open entries

    def begin(self, association: bytes, reserve: int) -> Entry:
        """Add the open entry whose record takes the next index; its own close record has `CLOSE_ROOM` on top of `reserve`."""
        entry = Entry(association, self.next_index, reserve + CLOSE_ROOM)
        self.open[association] = entry
        self.reserved += entry.reserved
        self.next_index += 1
        return entry

    def event(self, association: bytes) -> Entry:
        """Give the next index to a record outside of any association; it is remembered like a closed one, for a resend."""
        entry = self.begin(association, 0)
        self.end(entry)
        return entry

    def end(self, entry: Entry) -> None:
        """Move an entry to the closed ones and free its reservation."""
        del self.open[entry.association]
        self.reserved -= entry.reserved
        entry.reserved = 0
        self.closed[entry.association] = entry
        if len(self.closed) > KEPT_CLOSED:
            del self.closed[next(iter(self.closed))]

    def replay(self, frame: Frame, reserve: int) -> None:
        """Apply a frame found in a write-ahead file. `reserve`: the reservation an OPEN or RESERVE carries. Raises `StateError`."""
        if frame.place != self.next_index:
            raise StateError(f"frame of record {frame.place} where {self.next_index} was due")
        if frame.kind == Kind.OPEN:
            self.begin(frame.association, reserve)
            return
        if frame.kind == Kind.EVENT:
            self.event(frame.association)
            return
        if frame.kind == Kind.TOKEN:
            self.next_index += 1
            return
        entry = self.open.get(frame.association)
        if entry is None:
            raise StateError(f"record {frame.place} belongs to no open association")
        if frame.kind == Kind.RESERVE:
            entry.reserved += reserve
            self.reserved += reserve
            return
        if frame.kind not in RECORD_KINDS:
            raise StateError(f"frame of unknown kind {frame.kind}")
        used = min(entry.reserved, len(frame.payload) + OVERHEAD)
        entry.reserved -= used
        self.reserved -= used
        if frame.seq > entry.last_seq:  # not in a close of the writer's own
            entry.note(frame.seq, frame.place)
        self.next_index += 1
        if frame.kind == Kind.CLOSE:
            self.end(entry)
        else:
            entry.stores += not frame.payload.startswith(COMMITMENT)

    def encode(self) -> bytes:
        """Return the payload of a state frame."""
        parts = [_TOP.pack(_VERSION, len(self.open) + len(self.closed))]
        for is_open, entries in ((0, self.closed), (1, self.open)):
            for e in entries.values():
                places = list(e.recent.items())[-_SAVED_RECENT:]
                parts.append(_ENTRY.pack(e.association, is_open, e.opened, e.last_seq, e.last_index, e.reserved, e.stores, len(places)))
                parts.extend([_PLACE.pack(seq, index) for seq, index in places])
        return b"".join(parts)


def decode_state(payload: bytes, next_index: int) -> State:
    """Return the state that a state frame holds. Raises `StateError`."""
    state = State(next_index)
    try:
        version, count = _TOP.unpack_from(payload)
        if version != _VERSION:
            raise StateError(f"state frame of version {version}, this program knows {_VERSION}")
        offset = _TOP.size
        for _ in range(count):
            association, is_open, opened, last_seq, last_index, reserved, stores, places = _ENTRY.unpack_from(payload, offset)
            offset += _ENTRY.size
            entry = Entry(association, opened, reserved)
            entry.last_seq, entry.last_index, entry.stores = last_seq, last_index, stores
            entry.recent = dict(_PLACE.unpack_from(payload, offset + _PLACE.size * n) for n in range(places))
            offset += _PLACE.size * places
            if is_open:
                state.open[association] = entry
                state.reserved += reserved
            else:
                state.closed[association] = entry
    except struct.error as error:
        raise StateError(f"state frame is cut: {error}") from error
    if offset != len(payload):
        raise StateError("state frame has bytes left over")
    return state
