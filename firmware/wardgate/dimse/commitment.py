"""Storage commitment, push model (PS3.4 annex J): what an N-EVENT-REPORT says of which instances. Sans-IO.

Reads only the elements that matter, at the top level and in the two sequences; implicit and explicit VR little endian. A length that
passes its end, or a report beyond the bounds, raises: then nothing is known, which is what gets recorded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from wardgate.codes import Code

SOP_CLASS: Final = "1.2.840.10008.1.20.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
MAX_BYTES: Final = 8 << 20  # of a report's data set
MAX_INSTANCES: Final = 65536  # of one report
_TRANSACTION: Final = 0x00081195
_COMMITTED: Final = 0x00081199
_FAILED: Final = 0x00081198
_CLASS: Final = 0x00081150
_INSTANCE: Final = 0x00081155
_REASON: Final = 0x00081197
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))  # PS3.5 7.1.2
_TAG: Final = struct.Struct("<HH").unpack_from
_U16: Final = struct.Struct("<H").unpack_from
_U32: Final = struct.Struct("<I").unpack_from


class CommitmentError(Exception):
    """A report that cannot be read."""

    code = Code.COMMITMENT_UNREADABLE


class Reference(NamedTuple):
    """One instance of a report. `reason`: the failure reason (0008,1197), -1 when it is committed."""

    sop_class: str
    sop_instance: str
    reason: int = -1


class Report(NamedTuple):
    """What an N-EVENT-REPORT says (PS3.4 J.3.3)."""

    transaction: str
    references: tuple[Reference, ...]


def read_report(data: bytes | bytearray, transfer_syntax: str) -> Report:
    """Return what the data set of an N-EVENT-REPORT says. Raises `CommitmentError`."""
    if transfer_syntax not in (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
        raise CommitmentError(f"a report in transfer syntax {transfer_syntax[:64]}")
    if len(data) > MAX_BYTES:
        raise CommitmentError(f"a report of more than {MAX_BYTES} bytes")
    explicit = transfer_syntax == EXPLICIT_LITTLE
    transaction = ""
    references: list[Reference] = []
    for tag, start, end in _elements(data, 0, len(data), explicit):
        if tag == _TRANSACTION:
            transaction = _uid(data, start, end)
        elif tag in (_COMMITTED, _FAILED):
            for item_start, item_end in _items(data, start, end, explicit):
                references.append(_reference(data, item_start, item_end, explicit, tag == _FAILED))
                if len(references) > MAX_INSTANCES:
                    raise CommitmentError(f"a report of more than {MAX_INSTANCES} instances")
    if not transaction:
        raise CommitmentError("a report without Transaction UID (0008,1195)")
    return Report(transaction, tuple(references))


def _reference(data: bytes | bytearray, start: int, end: int, explicit: bool, failed: bool) -> Reference:
    sop_class = sop_instance = ""
    reason = 0x0110 if failed else -1  # PS3.4 J.3.3.1.1: processing failure, when a failed item does not say why
    for tag, at, stop in _elements(data, start, end, explicit):
        if tag == _CLASS:
            sop_class = _uid(data, at, stop)
        elif tag == _INSTANCE:
            sop_instance = _uid(data, at, stop)
        elif tag == _REASON and failed and stop - at == 2:
            reason = _U16(data, at)[0]
    if not sop_instance:
        raise CommitmentError("a reference without SOP Instance UID (0008,1155)")
    return Reference(sop_class, sop_instance, reason)


def _elements(data: bytes | bytearray, at: int, end: int, explicit: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, start, end) of the values between `at` and `end`; of a sequence of undefined length up to its delimiter."""
    while at < end:
        tag, start, length = _head(data, at, end, explicit)
        if length == _UNDEFINED:
            stop, at = _skip(data, start, end, explicit, 0)
        else:
            stop = at = start + length
            if stop > end:
                raise CommitmentError(f"element {tag:08X} passes the end of what holds it")
        yield tag, start, stop


def _items(data: bytes | bytearray, at: int, end: int, explicit: bool) -> Iterator[tuple[int, int]]:
    """Yield start and end of each item of a sequence."""
    while at < end:
        tag, start, length = _head(data, at, end, False)
        if tag != _ITEM:
            raise CommitmentError(f"element {tag:08X} where an item must stand")
        if length == _UNDEFINED:
            stop, at = _item_end(data, start, end, explicit, 0)
        else:
            stop = at = start + length
            if stop > end:
                raise CommitmentError("an item passes the end of its sequence")
        yield start, stop


def _head(data: bytes | bytearray, at: int, end: int, explicit: bool) -> tuple[int, int, int]:
    """Return (tag, start of the value, length)."""
    if end - at < 8:
        raise CommitmentError("an element is cut off")
    group, number = _TAG(data, at)
    if not explicit or group == 0xFFFE:
        return group << 16 | number, at + 8, _U32(data, at + 4)[0]
    if bytes(data[at + 4 : at + 6]) not in _LONG:
        return group << 16 | number, at + 8, _U16(data, at + 6)[0]
    if end - at < 12:
        raise CommitmentError("an element is cut off")
    return group << 16 | number, at + 12, _U32(data, at + 8)[0]


def _skip(data: bytes | bytearray, at: int, end: int, explicit: bool, depth: int) -> tuple[int, int]:
    """Return (end of the items, offset behind the delimiter) of a sequence of undefined length that begins at `at`."""
    if depth > 8:
        raise CommitmentError("sequences nested too deeply")
    while at < end:
        tag, start, length = _head(data, at, end, False)
        if tag == _SEQUENCE_END:
            return at, start
        if tag != _ITEM:
            raise CommitmentError(f"element {tag:08X} where an item must stand")
        at = _item_end(data, start, end, explicit, depth)[1] if length == _UNDEFINED else start + length
    raise CommitmentError("a sequence without its end")


def _item_end(data: bytes | bytearray, at: int, end: int, explicit: bool, depth: int) -> tuple[int, int]:
    """Return (end of the elements, offset behind the delimiter) of an item of undefined length that begins at `at`."""
    while at < end:
        tag, start, length = _head(data, at, end, explicit)
        if tag == _ITEM_END:
            return at, start
        at = _skip(data, start, end, explicit, depth + 1)[1] if length == _UNDEFINED else start + length
    raise CommitmentError("an item without its end")


def _uid(data: bytes | bytearray, start: int, end: int) -> str:
    if end - start > 65:
        raise CommitmentError(f"a UID of {end - start} bytes")
    return bytes(data[start:end]).decode("ascii", "backslashreplace").rstrip("\0 ")
