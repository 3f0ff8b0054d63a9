"""DER as X.690 10 has it, as much as certificate revocation lists need: one value after the other, each length checked first."""

from __future__ import annotations

from typing import Final

from wardgate.transport.utctime import unix_seconds

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT: Final = 0x06
BOOLEAN: Final = 0x01
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
_MAX_LENGTH_BYTES: Final = 4


class Reader:
    """Values of `data` between two places, in their order. Every method raises `ValueError` for what is no DER."""

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = start
        self.end = len(data) if end is None else end

    @property
    def more(self) -> bool:
        """Is anything left?"""
        return self.at < self.end

    def peek(self) -> int:
        """Return the next value's tag, -1 at the end."""
        return self.data[self.at] if self.more else -1

    def next(self, tag: int) -> tuple[int, int]:
        """Pass over the next value, which must have `tag`; return where its content begins and ends."""
        data, at = self.data, self.at
        if self.end - at < 2 or data[at] != tag:
            raise ValueError(f"no value with tag {tag:#x} at byte {at}")
        length = data[at + 1]
        at += 2
        if length >= 0x80:
            count = length & 0x7F
            if not 0 < count <= _MAX_LENGTH_BYTES or self.end - at < count or not data[at]:
                raise ValueError(f"no length at byte {at - 1}")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
            if length < 0x80:
                raise ValueError(f"no length at byte {at - 1}")
        if length > self.end - at:
            raise ValueError(f"{length} bytes at byte {at} are not all there")
        self.at = at + length
        return at, self.at

    def inside(self, tag: int = SEQUENCE) -> Reader:
        """Return a reader of what the next value, which must have `tag`, holds."""
        return Reader(self.data, *self.next(tag))

    def content(self, tag: int) -> bytes:
        """Return the content of the next value, which must have `tag`."""
        start, end = self.next(tag)
        return self.data[start:end]

    def whole(self, tag: int) -> bytes:
        """Return the next value, which must have `tag`, with tag and length."""
        start = self.at
        return self.data[start : self.next(tag)[1]]

    def boolean(self, tag: int = BOOLEAN) -> bool:
        """Return the next value, which must be a BOOLEAN (or one with another `tag`)."""
        value = self.content(tag)
        if value not in (b"\x00", b"\xff"):
            raise ValueError("no BOOLEAN")
        return value != b"\x00"

    def time(self) -> float:
        """Return the next value, UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them, in seconds since 1970."""
        tag = self.peek()
        text = self.content(tag).decode("ascii") if tag in (UTC_TIME, GENERALIZED_TIME) else ""
        if len(text) != (13 if tag == UTC_TIME else 15) or text[-1] != "Z" or not text[:-1].isdigit():
            raise ValueError(f"no time: {text[:20]!r}")
        if tag == UTC_TIME:
            text = ("19" if text >= "50" else "20") + text
        year, month, day, hour, minute, second = int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))
        if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
            raise ValueError(f"no time: {text}")
        return float(unix_seconds(year, month, day, hour, minute, second))

    def done(self) -> None:
        """Raise `ValueError` when anything is left."""
        if self.more:
            raise ValueError(f"more at byte {self.at}")
