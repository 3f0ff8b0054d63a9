"""The frame that every variable item has, and the small fields inside: type, reserved byte, 16-bit length, content.

Offsets are into the whole PDU, so that an error names the byte that a person finds in a capture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar, Final

from wardgate.codes import Code
from wardgate.upperlayer.errors import AbortReason, LocalError, PduError
from wardgate.upperlayer.value import Value

_HEADER: Final = struct.Struct(">BBH")
_U16: Final = struct.Struct(">H")
UID_MAX: Final = 64  # PS3.5 9.1


class Item(Value):
    """A variable item. `reserved` is the byte after the type: kept, never tested (PS3.8 9.3.1)."""

    CLAUSE: ClassVar[str] = "PS3.8 9.3.1"

    @property
    def number(self) -> int:
        """Return the item type, 0 to 255."""
        raise NotImplementedError

    def content(self) -> bytes:
        """Return what stands after the length field."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """Return the item with its header. Raises `LocalError` if it does not fit its 16-bit length."""
        return frame(self.number, self.content(), getattr(self, "reserved", 0))


class UnknownItem(Item):
    """An item that this edition does not know: passed on as it came (PS3.8 9.3.1)."""

    item_type: int
    raw: bytes
    reserved: int = 0

    @property
    def number(self) -> int:
        return self.item_type

    def content(self) -> bytes:
        return self.raw


def frame(item_type: int, content: bytes, reserved: int = 0) -> bytes:
    """Put the item header before `content`. Raises `LocalError` above 65535 bytes."""
    if len(content) > 0xFFFF:
        raise LocalError(f"item {item_type:02X}H of {len(content)} bytes does not fit a 16-bit length")
    return _HEADER.pack(item_type, reserved, len(content)) + content


def frames(data: bytes, start: int, end: int, most: int, clause: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (type, reserved, content start, content end) of each item between `start` and `end`.

    Copies nothing. Raises `PduError` at a cut header, a length beyond `end`, or the item after the `most`th.
    """
    at = start
    count = 0
    while at < end:
        if end - at < 4:
            raise PduError(at, clause, f"{end - at} bytes are left where an item header of 4 bytes must stand")
        count += 1
        if count > most:
            raise PduError(at, clause, f"more than {most} items", code=Code.PDU_TOO_MANY)
        item_type, reserved, length = _HEADER.unpack_from(data, at)
        if length > end - at - 4:
            raise PduError(at + 2, clause, f"item {item_type:02X}H says {length} bytes, {end - at - 4} are left")
        yield item_type, reserved, at + 4, at + 4 + length
        at += 4 + length


def field16(data: bytes, at: int, end: int, clause: str, name: str) -> tuple[bytes, int]:
    """Take a field led by its 16-bit length; return it and the offset after it. Raises `PduError` if it passes `end`."""
    if end - at < 2:
        raise PduError(at, clause, f"the length of the {name} is cut short")
    length: int = _U16.unpack_from(data, at)[0]
    if length > end - at - 2:
        raise PduError(at, clause, f"the {name} says {length} bytes, {end - at - 2} are left")
    return data[at + 2 : at + 2 + length], at + 2 + length


def led16(field: bytes) -> bytes:
    """Put a 16-bit length before a field. Raises `LocalError` above 65535 bytes."""
    if len(field) > 0xFFFF:
        raise LocalError(f"a field of {len(field)} bytes does not fit a 16-bit length")
    return _U16.pack(len(field)) + field


def exactly(length: int, start: int, end: int, clause: str, name: str) -> None:
    """Raise `PduError` unless the content has the one length that it may have."""
    if end - start != length:
        raise PduError(start - 2, clause, f"the {name} has {end - start} bytes and must have {length}")


def nothing_after(at: int, end: int, clause: str) -> None:
    """Raise `PduError` if bytes are left after the last field of an item."""
    if at != end:
        raise PduError(at, clause, f"{end - at} bytes stand after the last field of the item")


def uid_bytes(raw: bytes, at: int, clause: str) -> bytes:
    """Return `raw` if it may be a UID: at most 64 characters without padding (PS3.5 9.1). Its characters are policy's to judge."""
    if len(raw) > UID_MAX and len(raw.rstrip(b" \0")) > UID_MAX:
        raise PduError(at, clause, f"a UID of {len(raw)} bytes is longer than 64 (PS3.5 9.1)", AbortReason.INVALID_PARAMETER_VALUE)
    return raw


def text(raw: bytes) -> str:
    """Return a field as printable text: blanks at both ends and NULs at the end off, everything that is not printable ASCII as `\\xNN`.

    The backslash is escaped too, so different fields never look the same and no field can pose as one in the configuration.
    """
    stripped = raw.rstrip(b" \0").lstrip(b" ")
    if stripped.isascii() and b"\\" not in stripped:
        plain = stripped.decode("ascii")
        if plain.isprintable():
            return plain
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in stripped)
