"""Frames of the write-ahead file: one a record, one state frame at the head of each file.

    magic 4 | crc u32 | length u32 | base u32 | index u64 | kind u8 | association 16 bytes | seq u32 | payload

`crc` is CRC-32 over all that follows it. `base` is the offset in this file up to which everything was known to be on disk when
the frame was written: a broken frame that lies before the `base` of a later good one was acknowledged and has been damaged;
one that does not was torn by the crash and nobody was told that it is durable. Sans-IO.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple
from zlib import crc32

MAGIC: Final = b"\xf7WG\x01"
_REST: Final = struct.Struct("!IIQB16sI")
_HEAD: Final = struct.Struct("!4sI")
OVERHEAD: Final = _HEAD.size + _REST.size
MAX_PAYLOAD: Final = 16 * 1024 * 1024  # a state frame of very many open entries
_CRC_FROM: Final = _HEAD.size


class Kind(IntEnum):
    """What a frame holds; the numbers of records are those of the wire's operations."""

    OPEN = 2
    STORE = 3
    CLOSE = 4
    RESERVE = 5
    TOKEN = 12
    STATE = 16


RECORD_KINDS: Final = frozenset({2, 3, 4, 12})


class Frame(NamedTuple):
    """One good frame and where the next begins."""

    place: int  # index of the record; of the next record for other kinds
    kind: int
    association: bytes
    seq: int
    payload: bytes
    base: int
    end: int


def encode(base: int, index: int, kind: int, association: bytes, seq: int, payload: bytes) -> bytes:
    """Return one frame."""
    rest = _REST.pack(len(payload), base, index, kind, association, seq)
    return _HEAD.pack(MAGIC, crc32(payload, crc32(rest))) + rest + payload


def decode(data: bytes, offset: int) -> Frame | None:
    """Return the frame at `offset`, or None when there is no good one."""
    start = offset + OVERHEAD
    if start > len(data):
        return None
    magic, crc = _HEAD.unpack_from(data, offset)
    if magic != MAGIC:
        return None
    length, base, index, kind, association, seq = _REST.unpack_from(data, offset + _CRC_FROM)
    end = start + length
    if length > MAX_PAYLOAD or end > len(data):
        return None
    if crc32(data[offset + _CRC_FROM : end]) != crc:
        return None
    return Frame(index, kind, association, seq, data[start:end], base, end)


def acknowledged_after(data: bytes, offset: int, start: int) -> bool:
    """Was what lies at `offset` of `data` once on disk for sure? True when a good frame after it says so in its `base`.

    `start`: where in the file `data` begins.
    """
    at = data.find(MAGIC, offset + 1)
    while at >= 0:
        frame = decode(data, at)
        if frame is not None and frame.base > start + offset:
            return True
        at = data.find(MAGIC, at + 1 if frame is None else frame.end)
    return False
