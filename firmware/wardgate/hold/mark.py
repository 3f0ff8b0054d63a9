"""What stands in clear at the places of a segment file: its head, and a mark in front of each instance. Sans-IO.

head   8 "WGSEGM1\\n" | 8 generation (random; the file's name too) | u32 CRC-32                        at 0; the rest of the block is 0
mark   8 "WGSLOT1\\n" | 8 generation | u64 number | 8 id | u64 length | u8 kind | 19 zero | u32 CRC-32   at the start of a block

`length` counts from the mark to the end of the trailer; the next mark is at the next block. A mark is written last and is one sector.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Final, NamedTuple

BLOCK: Final = 4096  # places begin at multiples: what a file system gives back when a hole is punched
MARK_BYTES: Final = 64
MAX_LENGTH: Final = 1 << 48
_HEAD_MAGIC: Final = b"WGSEGM1\n"
_MARK_MAGIC: Final = b"WGSLOT1\n"
_HEAD: Final = struct.Struct(">8s8sI")
_MARK: Final = struct.Struct(">8s8sQ8sQB19x")
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

    @property
    def stem(self) -> str:
        """Its name in the queue."""
        return f"{self.number:016d}-{self.id.hex()}"

    def encode(self, generation: bytes) -> bytes:
        """Return the 64 bytes."""
        data = _MARK.pack(_MARK_MAGIC, generation, self.number, self.id, self.length, self.kind)
        return data + _CRC.pack(zlib.crc32(data))


def decode_mark(data: bytes, generation: bytes) -> Mark | None:
    """Return the mark in the first 64 bytes of `data`; None when there is none of this segment."""
    if len(data) < MARK_BYTES or not data.startswith(_MARK_MAGIC):
        return None
    _magic, of, number, id_, length, kind = _MARK.unpack_from(data)
    if of != generation or _CRC.unpack_from(data, _MARK.size)[0] != zlib.crc32(data[: _MARK.size]):
        return None
    if kind not in (1, 2) or not MARK_BYTES < length < MAX_LENGTH or number >= 10**16:
        return None
    return Mark(number, id_, length, Kind(kind))


def encode_head(generation: bytes) -> bytes:
    """Return the first block of a segment."""
    data = _HEAD_MAGIC + generation
    return (data + _CRC.pack(zlib.crc32(data))).ljust(BLOCK, b"\0")


def aligned(offset: int) -> int:
    """Return the start of the block at or behind `offset`."""
    return -(-offset // BLOCK) * BLOCK
