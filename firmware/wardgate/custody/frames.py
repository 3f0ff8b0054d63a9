"""Frames of the write-ahead file: one a record, one state frame at the head of each file.

    magic 4 | crc u32 | length u32 | base u32 | index u64 | kind u8 | association 16 bytes | seq u32 | payload

`crc` is CRC-32 over all that follows it. `base` is the offset in this file up to which everything was known to be on disk when
the frame was written: a broken frame that lies before the `base` of a later good one was acknowledged and has been damaged;
one that does not was torn by the crash and nobody was told that it is durable. Sans-IO.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = b"\xf7WG\x01"
_REST: Final = struct.Struct("!IIQB16sI")
_HEAD: Final = struct.Struct("!4sI")
OVERHEAD: Final = _HEAD.size + _REST.size
MAX_PAYLOAD: Final = 16 * 1024 * 1024  # a state frame of very many open entries
_CRC_FROM: Final = _HEAD.size
_MORE: Final = 128 * 1024


class Kind(IntEnum):
    """What a frame holds; the numbers of records are those of the wire's operations."""

    OPEN = 2
    STORE = 3
    CLOSE = 4
    RESERVE = 5
    EVENT = 8
    TOKEN = 12
    STATE = 16


RECORD_KINDS: Final = frozenset({2, 3, 4, 8, 12})


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


def is_cut(data: bytes, offset: int) -> bool:
    """Could what lies at `offset`, which is no good frame, be the beginning of one that goes on behind the end of `data`?"""
    if not MAGIC.startswith(data[offset : offset + len(MAGIC)]):
        return False
    if offset + OVERHEAD > len(data):
        return True
    length: int = _REST.unpack_from(data, offset + _CRC_FROM)[0]
    return length <= MAX_PAYLOAD and offset + OVERHEAD + length > len(data)


def _nothing(_size: int) -> bytes:
    return b""


def acknowledged_after(data: bytes, offset: int, start: int, more: Callable[[int], bytes] = _nothing) -> bool:
    """Was what lies at `offset` of `data` once on disk for sure? True when a good frame after it says so in its `base`.

    `start`: where in the file `data` begins. `more(size)` gives at least one of the `size` bytes that come next, none at the end: so of a
    file that was laid out for much more than was written no more is held than one frame may have.
    """
    bad_at = start + offset
    rest, at, ended = data[offset:], 1, False
    while True:
        found = rest.find(MAGIC, at)
        if found < 0 and ended:
            return False
        if found >= 0:
            frame = decode(rest, found)
            if frame is not None and frame.base > bad_at:
                return True
            if frame is not None or ended or not is_cut(rest, found):
                at = found + 1 if frame is None else frame.end
                continue
        keep = found if found >= 0 else max(at, len(rest) - len(MAGIC) + 1)
        chunk = more(max(_MORE, len(rest) - keep))
        rest, at, ended = rest[keep:] + chunk, 0, not chunk
