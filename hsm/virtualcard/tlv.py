"""BER-TLV as cards use it (ISO/IEC 7816-4 5.2.2): tags of one to three bytes, lengths to 65535."""

from __future__ import annotations

from collections.abc import Iterator


class BadTlv(ValueError):
    """The bytes are not BER-TLV."""


def encode(tag: int, value: bytes) -> bytes:
    """Return one data object."""
    if len(value) < 0x80:
        length = bytes([len(value)])
    elif len(value) < 0x100:
        length = bytes([0x81, len(value)])
    else:
        length = b"\x82" + len(value).to_bytes(2, "big")
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + length + value


def objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, value) of each data object of one level. Raises `BadTlv`."""
    at = 0
    while at < len(data):
        tag, at = _tag(data, at)
        length, at = _length(data, at)
        if at + length > len(data):
            raise BadTlv("a value runs past its end")
        yield tag, data[at : at + length]
        at += length


def decode(data: bytes) -> dict[int, bytes]:
    """Return the data objects of one level by tag; a tag that comes twice is refused. Raises `BadTlv`."""
    found: dict[int, bytes] = {}
    for tag, value in objects(data):
        if tag in found:
            raise BadTlv("a tag comes twice")
        found[tag] = value
    return found


def _tag(data: bytes, at: int) -> tuple[int, int]:
    tag, end = data[at], at + 1
    if tag & 0x1F == 0x1F:
        more = True
        while more:
            if end >= len(data) or end - at >= 3:
                raise BadTlv("a tag runs past its end")
            tag, more, end = tag << 8 | data[end], bool(data[end] & 0x80), end + 1
    return tag, end


def _length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise BadTlv("a length is missing")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if count not in (1, 2) or at + 1 + count > len(data):
        raise BadTlv("a length of a form that cards do not use")
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count
