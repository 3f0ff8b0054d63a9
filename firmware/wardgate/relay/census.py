"""How many connections the whole box has, in all and from each address: a small table that all workers of all generations share.

Each worker writes into its own part alone and reads those of the others, so nothing is locked. The master gives the parts out and
wipes that of a worker that ended, however it ended: what it had no longer counts.

    table    parts ever given out u32 | 0, to byte 16, then the parts
    part     associations u32 | of them silent u32 | entries in use u32 | 1: it accepts more, else 0 u32, then many of
    entry    source address 16 bytes (IPv4 mapped, RFC 4291 2.5.5.2) | connections u32 | of them silent u32

*Silent*: no whole A-ASSOCIATE-RQ yet. A part is written before it is summed up, so two workers that admit at once may both refuse,
never both pass the bound.
"""

from __future__ import annotations

import mmap
import socket
import struct
from functools import lru_cache
from typing import Final, NamedTuple

from wardgate.master.parts import HEAD_BYTES, PART_BYTES, PARTS, TABLE_BYTES

_HEAD: Final = struct.Struct("<IIII")
_COUNTS: Final = struct.Struct("<II")
_ADDRESS_BYTES: Final = 16
_ENTRY_BYTES: Final = _ADDRESS_BYTES + _COUNTS.size
MAX_ADDRESSES: Final = (PART_BYTES - _HEAD.size) // _ENTRY_BYTES  # at once, in one worker; who comes from one more is refused


class Count(NamedTuple):
    """Connections of the box, and those of them that are silent and belong to other workers."""

    all: int
    silent_elsewhere: int


class Census:
    """One worker's view of the table. Without a part of a shared one it counts for itself."""

    def __init__(self, fd: int = -1, part: int = 0) -> None:
        """`fd`: of the table, -1 for none. Raises `OSError`, `ValueError` when it is not one."""
        if not 0 <= part < PARTS:
            raise ValueError(f"part {part} of {PARTS}")
        self._map = mmap.mmap(fd, TABLE_BYTES if fd >= 0 else HEAD_BYTES + PART_BYTES)
        if fd < 0:
            self._map[0] = 1
        self._start = _start(part)
        self._all = self._silent = self._used = self._accepts = 0
        self._places: dict[str, int] = {}  # address -> offset of its entry
        self._free: list[int] = []

    def arrived(self, host: str) -> bool:
        """Count a new, silent connection; false when this worker has no room for one more address."""
        at = self._places.get(host)
        if at is None:
            at = self._new_entry(host)
            if at < 0:
                return False
        self._add(at, 1, 1)
        return True

    def spoke(self, host: str) -> None:
        """A silent connection has said who it is."""
        self._add(self._places[host], 0, -1)

    def left(self, host: str, silent: bool) -> None:
        """A connection ended."""
        at = self._places[host]
        if self._add(at, -1, -silent) == 0:
            self._map[at : at + _ADDRESS_BYTES] = bytes(_ADDRESS_BYTES)
            self._free.append(at)
            del self._places[host]

    def accepts(self, more: bool) -> None:
        """Does this worker accept connections?"""
        self._accepts = int(more)
        self._tell()

    def others_have_fewer(self) -> bool:
        """Does another worker that accepts connections have fewer than this one?"""
        if self._map[0] == 1:  # no part but ours was ever given out
            return False
        for part in range(min(self._map[0], PARTS)):
            connections, _silent, _used, accepts = _HEAD.unpack_from(self._map, _start(part))
            if accepts and connections < self._all:
                return True
        return False

    def of(self, host: str) -> Count:
        """Return the connections from `host`."""
        if self._map[0] == 1:
            at = self._places.get(host)
            return Count(_COUNTS.unpack_from(self._map, at + _ADDRESS_BYTES)[0] if at is not None else 0, 0)
        key = _key(host)
        total = elsewhere = 0
        for part in range(min(self._map[0], PARTS)):
            start = _start(part)
            at = self._find(start, key)
            if at >= 0:
                connections, silent = _COUNTS.unpack_from(self._map, at + _ADDRESS_BYTES)
                total += connections
                elsewhere += silent if start != self._start else 0
        return Count(total, elsewhere)

    def everybody(self) -> Count:
        """Return all connections."""
        if self._map[0] == 1:
            return Count(self._all, 0)
        total = elsewhere = 0
        for part in range(min(self._map[0], PARTS)):
            start = _start(part)
            connections, silent, _used, _ = _HEAD.unpack_from(self._map, start)
            total += connections
            elsewhere += silent if start != self._start else 0
        return Count(total, elsewhere)

    def _find(self, start: int, key: bytes) -> int:
        """Return where in the part at `start` the entry of an address is, -1: it has none."""
        used = min(_HEAD.unpack_from(self._map, start)[2], MAX_ADDRESSES)
        first = start + _HEAD.size
        end = first + used * _ENTRY_BYTES
        at = self._map.find(key, first, end)
        while at >= 0 and (at - first) % _ENTRY_BYTES:  # half of one entry and half of the next
            at = self._map.find(key, at + 1, end)
        return at

    def _new_entry(self, host: str) -> int:
        if self._free:
            at = self._free.pop()
        elif self._used < MAX_ADDRESSES:
            at = self._start + _HEAD.size + self._used * _ENTRY_BYTES
            self._used += 1
        else:
            return -1
        _COUNTS.pack_into(self._map, at + _ADDRESS_BYTES, 0, 0)
        self._map[at : at + _ADDRESS_BYTES] = _key(host)
        self._places[host] = at
        return at

    def _add(self, at: int, connections: int, silent: int) -> int:
        """Change an entry and the sums; return the connections that the entry has now."""
        before, quiet = _COUNTS.unpack_from(self._map, at + _ADDRESS_BYTES)
        _COUNTS.pack_into(self._map, at + _ADDRESS_BYTES, before + connections, quiet + silent)
        self._all += connections
        self._silent += silent
        _HEAD.pack_into(self._map, self._start, self._all, self._silent, self._used, self._accepts)
        return int(before) + connections

    def _tell(self) -> None:
        _HEAD.pack_into(self._map, self._start, self._all, self._silent, self._used, self._accepts)


def _start(part: int) -> int:
    return HEAD_BYTES + part * PART_BYTES


@lru_cache(maxsize=MAX_ADDRESSES)
def _key(host: str) -> bytes:
    """Return an address as 16 bytes."""
    plain = host.partition("%")[0]
    if ":" in plain:
        return socket.inet_pton(socket.AF_INET6, plain)
    return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, plain)
