"""BER-TLV of cards (ISO/IEC 7816-4 5.2.2), the host's side of it."""

from __future__ import annotations

from wardgate.codes import Code
from wardkeys.card.errors import CardError

_MAX_TAG_BYTES = 3


def tlv(tag: int, *values: bytes) -> bytes:
    """Return a data object around the values put together."""
    value = b"".join(values)
    size = len(value)
    if size < 0x80:
        length = bytes((size,))
    else:
        width = (size.bit_length() + 7) // 8
        length = bytes((0x80 | width,)) + size.to_bytes(width, "big")
    return tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big") + length + value


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Return (tag, value) of each data object of one level. Raises `CardError` (CARD_ANSWER)."""
    found, rest = [], data
    while rest:
        width = 1
        if rest[0] & 0x1F == 0x1F:
            width = 2
            while width <= _MAX_TAG_BYTES and len(rest) >= width and rest[width - 1] & 0x80:
                width += 1
        if width > _MAX_TAG_BYTES or len(rest) <= width:
            raise CardError(Code.CARD_ANSWER, "a data object is cut short")
        tag, rest = int.from_bytes(rest[:width], "big"), rest[width:]
        size, rest = rest[0], rest[1:]
        if size >= 0x80:
            count = size & 0x7F
            if not 1 <= count <= 3 or len(rest) < count:
                raise CardError(Code.CARD_ANSWER, "a length that cards do not use")
            size, rest = int.from_bytes(rest[:count], "big"), rest[count:]
        if size > len(rest):
            raise CardError(Code.CARD_ANSWER, "a data object is cut short")
        found.append((tag, rest[:size]))
        rest = rest[size:]
    return found


def find(data: bytes, *path: int) -> bytes:
    """Return the value at the end of a path of tags. Raises `CardError` (CARD_ANSWER) where there is none."""
    for tag in path:
        values = [value for found, value in parse(data) if found == tag]
        if not values:
            raise CardError(Code.CARD_ANSWER, f"no data object {tag:02X}")
        data = values[0]
    return data
