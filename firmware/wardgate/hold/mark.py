"""What stands in clear at the places of a segment file: its head, and a mark in front of each instance. Sans-IO.

head   8 "WGSEGM1\\n" | 8 generation (random; the file's name too) | u32 CRC-32                        at 0
logged 8 "WGLOGD1\\n" | 8 generation | u32 CRC-32: no record carried in it is missing in the log        at 512; the rest of the block is 0
mark   8 "WGSLOT1\\n" | 8 generation | u64 number | 8 id | u64 length | u8 kind | u8 has a check | u32 check | 14 zero | u32 CRC-32
       at the start of a block

`length` counts from the mark to the end of the trailer; the next mark is at the next block. A mark is written last and is one sector.
`check`: CRC-32 of all behind the mark, where the head carries a record (see `header`): without a key it tells what a power cut left half.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Final, NamedTuple

BLOCK: Final = 4096  # places begin at multiples: what a file system gives back when a hole is punched
MARK_BYTES: Final = 64
MAX_LENGTH: Final = 1 << 48
LOGGED_AT: Final = 512
_LOGGED_MAGIC: Final = b"WGLOGD1\n"
_HEAD_MAGIC: Final = b"WGSEGM1\n"
_MARK_MAGIC: Final = b"WGSLOT1\n"
_HEAD: Final = struct.Struct(">8s8sI")
_MARK: Final = struct.Struct(">8s8sQ8sQB?I14x")
_CRC: Final = struct.Struct(">I")


class Kind(IntEnum):
    """What a mark says of the instance behind it."""

    KEPT = 1
    VOID = 2  # its sender was told that it is not stored


class Mark(NamedTuple):
    """One instance in a segment. `id`: 8 random bytes."""

    number: int
    id: bytes
    length: int
    kind: Kind
    check: int | None = None

    @property
    def stem(self) -> str:
        """Its name in the queue."""
        return f"{self.number:016d}-{self.id.hex()}"

    def encode(self, generation: bytes) -> bytes:
        """Return the 64 bytes."""
        data = _MARK.pack(_MARK_MAGIC, generation, self.number, self.id, self.length, self.kind, self.check is not None, self.check or 0)
        return data + _CRC.pack(zlib.crc32(data))


def decode_mark(data: bytes, generation: bytes) -> Mark | None:
    """Return the mark in the first 64 bytes of `data`; None when there is none of this segment."""
    if len(data) < MARK_BYTES or not data.startswith(_MARK_MAGIC):
        return None
    _magic, of, number, id_, length, kind, checked, check = _MARK.unpack_from(data)
    if of != generation or _CRC.unpack_from(data, _MARK.size)[0] != zlib.crc32(data[: _MARK.size]):
        return None
    if kind not in (1, 2) or not MARK_BYTES < length < MAX_LENGTH or number >= 10**16:
        return None
    return Mark(number, id_, length, Kind(kind), check if checked else None)


def encode_head(generation: bytes) -> bytes:
    """Return the first block of a segment."""
    data = _HEAD_MAGIC + generation
    return (data + _CRC.pack(zlib.crc32(data))).ljust(BLOCK, b"\0")


def encode_logged(generation: bytes) -> bytes:
    """Return what stands in a segment of which every record that is carried in it is in the custody log."""
    data = _LOGGED_MAGIC + generation
    return data + _CRC.pack(zlib.crc32(data))


def aligned(offset: int) -> int:
    """Return the start of the block at or behind `offset`."""
    return -(-offset // BLOCK) * BLOCK
