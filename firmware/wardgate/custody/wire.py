"""What workers and the custody writer say to each other: one SOCK_SEQPACKET packet is one batch of items or answers.

    item     op u8 | request u32 | association 16 bytes | seq u32 | length u32 | payload      (worker -> writer)
    answers  0x01, then many of: request u32 | status u8 | index u64                          (writer -> worker)
    report   0x02, then JSON: the answer to STAT                                              (writer -> worker)

All numbers are big-endian. Within an association `seq` rises: OPEN is 0, then the stores count from 1, CLOSE comes last.
EVENT is a record outside of any association (a tombstone, a card that was pulled): its `association` is 16 random bytes of its own,
its `seq` 0. `index` is the place of the record in the log. Sans-IO.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum

TYPE_CHECKING = False  # the master does without `typing`, which is 1 MiB
if TYPE_CHECKING:
    from typing import Final

MAX_PACKET: Final = 65536
ITEM: Final = struct.Struct("!BI16sII")
ANSWER: Final = struct.Struct("!IBQ")
ANSWERS_KIND: Final = b"\x01"
REPORT_KIND: Final = b"\x02"
NO_INDEX: Final = 2**64 - 1  # no index: not a record, not written, or written so long ago that its place is no longer remembered
NO_ASSOCIATION: Final = bytes(16)
MAX_PAYLOAD: Final = MAX_PACKET - ITEM.size
MAX_RECLAIM: Final = 2048  # associations in one HELLO
_MAX_ANSWERS: Final = (MAX_PACKET - 1) // ANSWER.size
_RESERVE: Final = struct.Struct("!I")


QUEUE_IS: Final = b"queue\0"  # the master says it on the control socket, before a path: instances in hold are there


class Op(IntEnum):
    """What an item asks for."""

    HELLO = 1
    OPEN = 2
    STORE = 3
    CLOSE = 4
    RESERVE = 5
    YIELD = 6
    STAT = 7
    EVENT = 8
    PING = 9  # does the loop turn? answered at once, nothing is written
    HAS = 10  # is the record `seq` of that association in the log? nothing is written


class Status(IntEnum):
    """How an item ended."""

    OK = 0
    NO_SPACE = 1
    IO_ERROR = 2
    REFUSED = 3
    UNSIGNED = 4  # as many records are unsigned as may be
    NOT_YET = 5  # to HAS: it is not, and may come


STATUSES: Final = tuple(Status)


class WireError(Exception):
    """A packet is not what this protocol says; the connection that sent it is dropped."""


def encode_item(op: int, request: int, association: bytes, seq: int, payload: bytes) -> bytes:
    """Return one item. Raises `WireError` when the payload cannot fit a packet."""
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD}")
    return ITEM.pack(op, request, association, seq, len(payload)) + payload


def decode_items(packet: bytes) -> Iterator[tuple[int, int, bytes, int, bytes]]:
    """Yield (op, request, association, seq, payload). Raises `WireError` at the first item that does not fit."""
    offset, end = 0, len(packet)
    unpack, head = ITEM.unpack_from, ITEM.size
    while offset < end:
        if end - offset < head:
            raise WireError(f"{end - offset} bytes left at byte {offset}, an item head has {head}")
        op, request, association, seq, length = unpack(packet, offset)
        offset += head
        if length > end - offset:
            raise WireError(f"payload of {length} bytes at byte {offset}, the packet has {end - offset} left")
        yield op, request, association, seq, packet[offset : offset + length]
        offset += length


def encode_answers(answers: list[bytes]) -> Iterator[bytes]:
    """Yield packets of the packed `ANSWER`s."""
    for start in range(0, len(answers), _MAX_ANSWERS):
        yield ANSWERS_KIND + b"".join(answers[start : start + _MAX_ANSWERS])


def decode_answers(packet: bytes | memoryview) -> list[tuple[int, Status, int]]:
    """Return the (request, status, index) of an answers packet. Raises `WireError`."""
    if not packet or packet[0] != ANSWERS_KIND[0] or (len(packet) - 1) % ANSWER.size:
        raise WireError(f"no answers packet: {len(packet)} bytes")
    try:
        return [(request, STATUSES[status], index) for request, status, index in ANSWER.iter_unpack(packet[1:])]
    except IndexError:
        raise WireError("unknown status in an answer") from None


def encode_hello(worker_id: str, associations: Iterable[bytes]) -> list[bytes]:
    """Return the payloads of the HELLOs that reclaim `associations` (at least one, at most `MAX_RECLAIM` each)."""
    name = worker_id.encode("utf-8")[:255]
    todo = list(associations)
    chunks = [todo[start : start + MAX_RECLAIM] for start in range(0, len(todo), MAX_RECLAIM)] or [[]]
    return [bytes((len(name),)) + name + b"".join(chunk) for chunk in chunks]


def decode_hello(payload: bytes) -> tuple[str, list[bytes]]:
    """Return (worker id, associations). Raises `WireError`."""
    start = 1 + payload[0] if payload else 0
    if not start or len(payload) < start or (len(payload) - start) % 16:
        raise WireError(f"HELLO of {len(payload)} bytes does not hold a name and whole association ids")
    name = payload[1:start].decode("utf-8", "replace")
    return name, [payload[at : at + 16] for at in range(start, len(payload), 16)]


def encode_open(reserve: int, record: bytes) -> bytes:
    """Return the payload of OPEN: bytes of log to reserve for the association, then its open record."""
    return _RESERVE.pack(reserve) + record


def encode_reserve(more: int) -> bytes:
    """Return the payload of RESERVE: bytes of log to reserve on top."""
    return _RESERVE.pack(more)


def decode_reserve(payload: bytes) -> int:
    """Return the bytes to reserve at the head of an OPEN or RESERVE payload. Raises `WireError`."""
    if len(payload) < _RESERVE.size:
        raise WireError(f"reservation of {len(payload)} bytes, it has {_RESERVE.size}")
    return int.from_bytes(payload[: _RESERVE.size], "big")
