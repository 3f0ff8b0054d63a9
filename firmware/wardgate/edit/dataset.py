"""The `dataset` edit: other values for SOP Instance Status and its three companions, in a data set that streams by.

Of a data set only (0100,0410), (0100,0420), (0100,0424), (0100,0426) and the group length (0100,0000) may come out different
(PS3.15 A.1.1 g, h). Elements stand in ascending order (PS3.5 7.1), so only the *head* is read, up to group 0100, and what is not in
that group leaves as the bytes that came. Group 0100 is held until it is whole (at most `MAX_GROUP` bytes), because its group length
stands in front; nothing else is held but a header that is cut.

When the rule changes nothing, the edit is *over* behind group 0100 and looks at nothing more. When it has changed something it reads
the top level of the rest, holding nothing, for a digital signature that covers what it changed (PS3.3 C.12.1.1.3.1.1): the MAC
Parameters Sequence (4FFE,0001) names the elements signed. It stands behind group 0100, so that the head has left when it is seen;
but it stands before the end, so the edit raises while the data set is still cut: whoever receives it never has it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from wardgate.codes import Code
from wardgate.edit import EditError
from wardgate.edit.elements import (
    BIG,
    DELIMITERS,
    ITEM,
    ITEM_END,
    LITTLE,
    LONG_VRS,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    DatasetError,
    Encoding,
    Order,
)

Piece = bytes | bytearray | memoryview
Values = Mapping[int, bytes]  # of the elements of group 0100 that may change, by element number; as they stand there, padding included
Rule = Callable[[Values], Values]

STATUS: Final = 0x0410
DATE_TIME: Final = 0x0420
COMMENT: Final = 0x0424
EQUIPMENT: Final = 0x0426
_VRS: Final = {STATUS: b"CS", DATE_TIME: b"DT", COMMENT: b"LT", EQUIPMENT: b"LO"}
GROUP: Final = 0x0100
MAX_GROUP: Final = 131072  # an LT has 10240 characters at most
MAX_MAC: Final = 65536  # MAC Parameters Sequence
MAX_DEPTH: Final = 64  # of sequences without a length
_LENGTH_TO_END: Final = 0x00080001  # retired: counts the bytes up to the end of the data set
_MAC_PARAMETERS: Final = 0x4FFE0001
_SIGNATURES: Final = 0xFFFAFFFA


class _Phase(Enum):
    HEAD = "up to the end of group 0100"
    REST = "something was changed: looks for signatures"
    OVER = "nothing is looked at any more"


class _Element:
    """One element of group 0100 while it is held."""

    __slots__ = ("number", "raw", "sequence", "value_at")

    def __init__(self, number: int, value_at: int, sequence: bool) -> None:
        self.number = number
        self.value_at = value_at
        self.sequence = sequence
        self.raw = bytearray()


class DatasetEdit:
    """One data set passing. `rule` gets the values that stand there and returns those that shall; without one of them, it goes."""

    __slots__ = (
        "_explicit", "_group", "_head", "_held", "_last_tag", "_length_to_end", "_mac", "_mac_seen", "_order", "_phase", "_rule", "_skip",
        "_stack", "_want", "changed",
    )  # fmt: skip

    def __init__(self, encoding: Encoding, rule: Rule) -> None:
        self._order = BIG if encoding is Encoding.EXPLICIT_BIG else LITTLE
        self._explicit = encoding is not Encoding.IMPLICIT_LITTLE
        self._rule = rule
        self._phase = _Phase.HEAD
        self._head = bytearray()  # of a header, as far as it came
        self._want = 8
        self._skip = 0  # bytes of a value still to come
        self._stack: list[tuple[bool, bool]] = []  # sequences and items without a length: (is an item, is implicit VR little endian)
        self._last_tag = -1
        self._group: list[_Element] = []
        self._held = 0
        self._length_to_end = False
        self._mac: bytearray | None = None
        self._mac_seen = False
        self.changed = False

    @property
    def over(self) -> bool:
        """Does everything from here on pass unseen?"""
        return self._phase is _Phase.OVER

    @property
    def held(self) -> int:
        """Bytes that came and have neither left nor been replaced."""
        return self._held + len(self._head) if self._phase is _Phase.HEAD else 0

    def feed(self, data: memoryview, last: bool) -> list[Piece]:
        """Take the next bytes of the data set and return those that leave now. `last`: they end it.

        Raises `DatasetError` for a data set that cannot be read or must not be changed. Nothing may leave after that.
        """
        if self._phase is _Phase.OVER:
            return [data]
        heading = self._phase is _Phase.HEAD
        out: list[Piece] = [] if heading else [data]
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                size = min(self._skip, end - at)
                self._skip -= size
                self._take(data[at : at + size], out)
                at += size
            else:
                size = min(self._want - len(self._head), end - at)
                self._head += data[at : at + size]
                at += size
                if len(self._head) == self._want:
                    self._header(out)
                    if heading and self._phase is not _Phase.HEAD:
                        heading = False
                        out.append(data[at:])
                    if self.over:
                        break
        if last:
            self._end(out)
        return out

    def _take(self, piece: Piece, out: list[Piece]) -> None:
        """A header or a part of a value was read."""
        if self._phase is _Phase.REST:
            if self._mac is not None:
                self._mac += piece
                if len(self._mac) > MAX_MAC:
                    raise DatasetError(Code.STATUS_SIGNED, f"the MAC Parameters Sequence has more than {MAX_MAC} bytes")
        elif self._group:
            self._group[-1].raw += piece
            self._held += len(piece)
            if self._held > MAX_GROUP:
                raise DatasetError(Code.STATUS_UNREADABLE, f"group 0100 has more than {MAX_GROUP} bytes")
        else:
            out.append(piece)

    def _header(self, out: list[Piece]) -> None:
        """Read the header in `_head`, or say in `_want` that it is longer."""
        head = self._head
        in_item, implicit = self._stack[-1] if self._stack else (True, not self._explicit)
        order = LITTLE if implicit else self._order
        group, element = order.tag.unpack_from(head)
        if group == DELIMITERS:
            self._delimiter(element, order.u32.unpack_from(head, 4)[0], in_item, implicit)
        else:
            if not in_item:
                raise _unreadable("an element stands where an item must")
            length, unknown = order.u32.unpack_from(head, 4)[0], False
            if not implicit:
                vr = bytes(head[4:6])
                unknown = vr == b"UN"
                if vr in LONG_VRS:
                    if len(head) < 12:
                        self._want = 12
                        return
                    length = order.u32.unpack_from(head, 8)[0]
                elif vr in SHORT_VRS:
                    length = order.u16.unpack_from(head, 6)[0]
                else:
                    raise _unreadable("a value representation that PS3.5 6.2 does not know")
            if not self._stack:
                self._top(group << 16 | element, length == UNDEFINED, out)
            if length == UNDEFINED:
                self._push(False, implicit or unknown)  # PS3.5 6.2.2: the content of such a UN is implicit VR little endian
            else:
                self._skip = length
        self._head = bytearray()
        self._want = 8
        if self._phase is _Phase.HEAD or self._mac is not None:
            self._take(head, out)

    def _delimiter(self, element: int, length: int, in_item: bool, implicit: bool) -> None:
        """An item begins, or an item or a sequence without a length ends (PS3.5 7.5)."""
        if element == ITEM and not in_item:
            if length == UNDEFINED:
                self._push(True, implicit)
            else:
                self._skip = length
        elif self._stack and not length and element == (ITEM_END if in_item else SEQUENCE_END):
            self._stack.pop()
        else:
            raise _unreadable("an item or a delimiter where none may stand")

    def _push(self, item: bool, implicit: bool) -> None:
        if len(self._stack) == MAX_DEPTH:
            raise _unreadable(f"more than {MAX_DEPTH} sequences and items without a length in each other")
        self._stack.append((item, implicit))

    def _top(self, tag: int, sequence: bool, out: list[Piece]) -> None:
        """An element of the top level begins."""
        if tag <= self._last_tag:
            raise _unreadable("elements that are not in ascending order")
        self._last_tag = tag
        if self._phase is _Phase.HEAD:
            if tag == _LENGTH_TO_END:
                self._length_to_end = True
            elif tag >> 16 == GROUP:
                self._group.append(_Element(tag & 0xFFFF, len(self._head), sequence))
            elif tag >> 16 > GROUP:
                self._close(out)
                out.append(bytes(self._head))
        if self._phase is _Phase.REST:
            self._judge()
            if tag == _MAC_PARAMETERS:
                self._mac = bytearray()
                self._mac_seen = True
            elif tag == _SIGNATURES and not self._mac_seen:
                raise DatasetError(Code.STATUS_SIGNED, "it is signed and does not say which elements are")

    def _judge(self) -> None:
        """The MAC Parameters Sequence is whole. Whatever looks like one of the four tags in it, is: better refuse one too many."""
        if self._mac is None:
            return
        mac, self._mac = self._mac, None
        if any(self._order.tag.pack(GROUP, number) in mac for number in _VRS):
            raise DatasetError(Code.STATUS_SIGNED, "a digital signature in it covers SOP Instance Status or what belongs to it")

    def _end(self, out: list[Piece]) -> None:
        """The data set is whole."""
        if self._phase is _Phase.OVER:
            return
        if self._head or self._skip or self._stack:
            raise _unreadable("it ends inside an element")
        if self._phase is _Phase.HEAD:
            self._close(out)
        else:
            self._judge()
        self._phase = _Phase.OVER

    def _close(self, out: list[Piece]) -> None:
        """Group 0100 is whole, or was left out: let the rule decide."""
        found: dict[int, bytes] = {}
        for element in self._group:
            if element.number in _VRS:
                if element.sequence:
                    raise _unreadable("SOP Instance Status or what belongs to it is a sequence")
                found[element.number] = bytes(element.raw[element.value_at :])
        wanted = self._rule(found)
        if wanted == found:
            out.extend(element.raw for element in self._group)
            self._phase = _Phase.OVER
        else:
            out.append(self._rebuilt(found, wanted))
            self.changed = True
            self._phase = _Phase.REST
        self._group = []
        self._held = 0

    def _rebuilt(self, found: Values, wanted: Values) -> bytes:
        """Return group 0100 with other values."""
        others = {element.number: bytes(element.raw) for element in self._group}
        new = {number: raw for number, raw in others.items() if number not in _VRS}
        for number, value in wanted.items():
            new[number] = others[number] if found.get(number) == value else self._encoded(number, value)
        length = new.pop(0, None)
        rest = b"".join(raw for _number, raw in sorted(new.items()))
        if length is not None and rest:  # PS3.5 7.2: a group length counts what comes behind it
            at = self._group[0].value_at
            if len(length) != at + 4:
                raise _unreadable("the length of group 0100 has not four bytes")
            rest = length[:at] + self._order.u32.pack(len(rest)) + rest
        if self._length_to_end and len(rest) != sum(len(element.raw) for element in self._group):
            raise _unreadable("it counts its own bytes (0008,0001), and would have another length")
        return rest

    def _encoded(self, number: int, value: bytes) -> bytes:
        """Return one element, padded with a blank to an even length (PS3.5 6.2)."""
        vr = _VRS.get(number)
        if vr is None or len(value) > 0xFFFE:
            raise EditError(f"(0100,{number:04X}) with {len(value)} bytes is not for this edit")
        value += b" " * (len(value) % 2)
        order: Order = self._order
        if self._explicit:
            return order.tag.pack(GROUP, number) + vr + order.u16.pack(len(value)) + value
        return order.tag.pack(GROUP, number) + order.u32.pack(len(value)) + value


def _unreadable(message: str) -> DatasetError:
    return DatasetError(Code.STATUS_UNREADABLE, message)
