"""Commands over a reader: short APDUs, chaining, GET RESPONSE, and status words made into codes (ISO/IEC 7816-4 5.1, 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardkeys.card.errors import CardError

_MAX_DATA: Final = 255
_MAX_ANSWER: Final = 65536
_CHAINED: Final = 0x10

_CODES: Final = {
    0x6982: Code.CARD_NOT_AUTHORISED,
    0x6983: Code.CARD_BLOCKED,
    0x6A82: Code.CARD_EMPTY,
    0x6A88: Code.CARD_EMPTY,
    0x6D00: Code.CARD_CANNOT,
    0x6E00: Code.CARD_CANNOT,
    0x6A81: Code.CARD_CANNOT,
}


class Channel:
    """Sends commands by `transmit`, which takes a command APDU and returns a response APDU."""

    def __init__(self, transmit: Callable[[bytes], bytes]) -> None:
        self._transmit = transmit

    def command(self, ins: int, p1: int, p2: int, data: bytes = b"", *, le: int | None = 256, cla: int = 0x00) -> bytes:
        """Send one command, return its answer. `le`: None where the command has none. Raises `CardError` with the status word."""
        answer, status = self.exchange(ins, p1, p2, data, le=le, cla=cla)
        if status != 0x9000:
            raise refused(status)
        return answer

    def exchange(self, ins: int, p1: int, p2: int, data: bytes = b"", *, le: int | None = 256, cla: int = 0x00) -> tuple[bytes, int]:
        """Send one command, return its answer and its last status word. Raises `CardError`."""
        parts = [data[at : at + _MAX_DATA] for at in range(0, len(data), _MAX_DATA)] or [b""]
        for part in parts[:-1]:
            _, status = self._once(bytes((cla | _CHAINED, ins, p1, p2, len(part))) + part)
            if status != 0x9000:
                return b"", status
        last = bytes((cla, ins, p1, p2)) + (bytes((len(parts[-1]),)) + parts[-1] if parts[-1] else b"")
        expected = b"" if le is None else bytes((le & 0xFF,))
        answer, status = self._once(last + expected)
        if status >> 8 == 0x6C and le is not None:  # 5.3.3: the exact length
            answer, status = self._once(last + bytes((status & 0xFF,)))
        while status >> 8 == 0x61:
            more, status = self._once(bytes((cla & 0x03, 0xC0, 0, 0, status & 0xFF)))
            answer += more
            if len(answer) > _MAX_ANSWER or not more:
                raise CardError(Code.CARD_ANSWER, "an answer without end")
        return answer, status

    def _once(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self._transmit(apdu)
        if len(answer) < 2:
            raise CardError(Code.CARD_ANSWER, "an answer without a status word")
        return answer[:-2], int.from_bytes(answer[-2:], "big")


def refused(status: int) -> CardError:
    """Return the error that a status word other than 9000 means."""
    if status & 0xFFF0 == 0x63C0:
        left = status & 0x0F
        return CardError(Code.CARD_BLOCKED if left == 0 else Code.CARD_PIN_WRONG, f"{left} tries left", status=status, tries=left)
    code = _CODES.get(status, Code.CARD_REFUSED)
    return CardError(code, f"status {status:04X}", status=status, tries=0 if code is Code.CARD_BLOCKED else None)
