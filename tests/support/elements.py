"""Data elements written by hand, in each encoding, without the code under test; and a data set with a status in it."""

from __future__ import annotations

import struct

from wardgate.edit.dataset import COMMENT, DATE_TIME, EQUIPMENT, STATUS
from wardgate.edit.elements import Encoding

_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
_VRS = {0: b"UL", STATUS: b"CS", DATE_TIME: b"DT", COMMENT: b"LT", EQUIPMENT: b"LO"}


class Writer:
    """Writes elements by hand, in one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.mark = ">" if encoding is Encoding.EXPLICIT_BIG else "<"

    def tag(self, tag: int) -> bytes:
        return struct.pack(self.mark + "HH", tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
        size = len(value) if length is None else length
        if self.encoding is Encoding.IMPLICIT_LITTLE:
            return self.tag(tag) + struct.pack("<I", size) + value
        if vr in _LONG:
            return self.tag(tag) + vr + b"\0\0" + struct.pack(self.mark + "I", size) + value
        return self.tag(tag) + vr + struct.pack(self.mark + "H", size) + value

    def mark32(self, tag: int, length: int) -> bytes:
        return self.tag(tag) + struct.pack(self.mark + "I", length)

    def open_sequence(self, tag: int, *items: bytes, vr: bytes = b"SQ") -> bytes:
        """A sequence without a length, of items without a length."""
        inner = b"".join(self.mark32(0xFFFEE000, 0xFFFFFFFF) + item + self.mark32(0xFFFEE00D, 0) for item in items)
        return self.element(tag, vr, inner + self.mark32(0xFFFEE0DD, 0), 0xFFFFFFFF)

    def sequence(self, tag: int, *items: bytes) -> bytes:
        """A sequence with lengths."""
        return self.element(tag, b"SQ", b"".join(self.mark32(0xFFFEE000, len(item)) + item for item in items))

    def group(self, length: bool, **values: bytes) -> bytes:
        """Group 0100 of `status`, `date`, `comment`, `equipment` and `other`."""
        numbers = {"status": STATUS, "date": DATE_TIME, "comment": COMMENT, "equipment": EQUIPMENT}
        body = b"".join(self.element(0x01000000 | numbers[name], _VRS[numbers[name]], value) for name, value in values.items())
        return (self.element(0x01000000, b"UL", struct.pack(self.mark + "I", len(body))) if length else b"") + body

    def before(self) -> bytes:
        """What stands in front of group 0100: sequences of both kinds, with a status of their own inside, which is nobody's business."""
        nested = self.element(0x01000410, b"CS", b"AO")
        return b"".join(
            (
                self.element(0x00080005, b"CS", b"ISO_IR 100"),
                self.element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
                self.sequence(0x00081111, nested, nested + self.open_sequence(0x00401111, nested)),
                self.open_sequence(0x00081140, nested, self.sequence(0x00401111, nested), b"", self.open_sequence(0x00401112, nested)),
                self.element(0x00091001, b"UN", bytes(range(256))),
                self.element(0x00100010, b"PN", b""),
                self.element(0x00280010, b"US", struct.pack(self.mark + "H", 512)),
            )
        )

    def after(self) -> bytes:
        """What stands behind it."""
        return self.element(0x01010410, b"CS", b"AO") + self.element(0x7FE00010, b"OW", bytes(range(256)) * 8)
