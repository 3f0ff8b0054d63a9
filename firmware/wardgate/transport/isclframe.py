"""Cuts a byte stream into ISCL messages: one PDU of the DICOM upper layer each (PS3.8 9.3.1), or whatever came at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wardgate.iscl.reconstruction import MessageUnit

_HEADER_BYTES: Final = 6  # type, reserved, 32-bit length


class Cutter:
    """Keeps the beginning of a PDU until the rest comes; a PDU longer than a message goes in several."""

    def __init__(self, unit: MessageUnit, longest: int) -> None:
        self._by_pdu = unit is MessageUnit.PDU
        self._longest = longest
        self._held = bytearray()  # the beginning of a message
        self._left = 0  # bytes of the PDU under way that have not come
        self._head = bytearray()  # of a PDU, until it is whole

    def cut(self, data: bytes | bytearray | memoryview) -> Iterator[bytes | bytearray | memoryview]:
        """Give the messages that are whole now. Those that lie within `data` are not copied."""
        view = memoryview(data)
        if not self._by_pdu:
            if view:
                yield view
            return
        at, size = 0, len(view)
        while at < size:
            start = at
            if not self._left:
                count = min(_HEADER_BYTES - len(self._head), size - at)
                self._head += view[at : at + count]
                at += count
                if len(self._head) == _HEADER_BYTES:
                    self._left = int.from_bytes(self._head[2:], "big")
                    self._head.clear()
                    whole = not self._left
                else:
                    whole = False
            else:
                whole = False
            if not self._head and not whole:
                count = min(self._left, size - at, max(0, self._longest - len(self._held) - (at - start)))
                self._left -= count
                at += count
                whole = not self._left or len(self._held) + (at - start) >= self._longest
            if not whole:
                self._held += view[start:at]
            elif self._held:
                held, self._held = self._held, bytearray()
                held += view[start:at]
                yield held
            else:
                yield view[start:at]
