"""Command APDUs, short and extended (ISO/IEC 7816-3 12.1), and the status words that this card answers with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

CHAINED = 0x10  # CLA: more of this command follows (ISO/IEC 7816-4 5.1.1.1)
WHOLE_SHORT, WHOLE_EXTENDED = 256, 65536


class Status(IntEnum):
    """SW1-SW2 (ISO/IEC 7816-4 5.1.3)."""

    OK = 0x9000
    WRONG = 0x6300
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    NO_CHANNELS = 0x6881
    NO_SECURE_MESSAGING = 0x6882
    LAST_OF_CHAIN_EXPECTED = 0x6883
    NOT_SATISFIED = 0x6982
    BLOCKED = 0x6983
    CONDITIONS = 0x6985
    WRONG_DATA = 0x6A80
    NOT_FOUND = 0x6A82
    NO_SPACE = 0x6A84
    WRONG_P1P2 = 0x6A86
    NO_KEY = 0x6A88
    NO_INSTRUCTION = 0x6D00
    NO_CLASS = 0x6E00
    DEFECT = 0x6F00


class Refusal(Exception):
    """The command ends with this status word."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status:04X}")
        self.status = status


def tries_left(count: int) -> Refusal:
    """Return 63CX; 6983 where none is left."""
    return Refusal(0x63C0 | min(count, 15) if count else Status.BLOCKED)


@dataclass(frozen=True, slots=True)
class Command:
    """One command APDU. `le` is the greatest length of the answer, None where none is asked for."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    @property
    def p1p2(self) -> int:
        """P1 and P2 as one number."""
        return self.p1 << 8 | self.p2


def parse(raw: bytes) -> Command:
    """Return the command of an APDU. Raises `Refusal` (6700)."""
    if len(raw) < 4:
        raise Refusal(Status.WRONG_LENGTH)
    head, body = (raw[0], raw[1], raw[2], raw[3]), raw[4:]
    if not body:
        return Command(*head)  # case 1
    if len(body) == 1:
        return Command(*head, le=body[0] or WHOLE_SHORT)  # case 2, short
    if body[0] or len(body) < 3:
        return _rest(head, body[1:], body[0], 1)
    length = int.from_bytes(body[1:3], "big")
    if len(body) == 3:
        return Command(*head, le=length or WHOLE_EXTENDED)  # case 2, extended
    return _rest(head, body[3:], length, 2)


def _rest(head: tuple[int, int, int, int], body: bytes, length: int, width: int) -> Command:
    if not length or len(body) not in (length, length + width):
        raise Refusal(Status.WRONG_LENGTH)
    if len(body) == length:
        return Command(*head, data=body)  # case 3
    whole = WHOLE_SHORT if width == 1 else WHOLE_EXTENDED
    return Command(*head, data=body[:length], le=int.from_bytes(body[length:], "big") or whole)  # case 4
