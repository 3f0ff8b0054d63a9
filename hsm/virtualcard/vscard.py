"""Front end for QEMU's `ccid-card-passthru`: the VSCARD protocol, version 0.0.2, over the device's chardev.

Every message: type, reader, length (u32 big endian each), then the payload. We are the client, QEMU the host: both say Init; ReaderAdd
is answered by Error 0 with our reader's number, ATR (the card is in) by Error 0; then the host sends APDUs and gets answers.
The protocol has no reset: QEMU does not tell the card when its guest powers the slot down (`ccid-card-passthru`, QEMU 7.2).
"""

from __future__ import annotations

import socket
import struct
from enum import Enum, IntEnum
from typing import Final

from virtualcard.card import Card, answer_to_reset
from virtualcard.frontend import FrontEnd

MAGIC: Final = b"VSCD"
VERSION: Final = 2  # 0.0.2
UNDEFINED_READER: Final = 0xFFFFFFFF
MAX_PAYLOAD: Final = 65536
_HEADER: Final = struct.Struct(">III")


class Type(IntEnum):
    """Message types."""

    INIT = 1
    ERROR = 2
    READER_ADD = 3
    READER_REMOVE = 4
    ATR = 5
    CARD_REMOVE = 6
    APDU = 7
    FLUSH = 8
    FLUSH_COMPLETE = 9


class Phase(Enum):
    """How far the client has come."""

    GREETING = "greeting"
    ADDING = "adding"
    INSERTING = "inserting"
    IN = "in"


class BadVscard(OSError):
    """The host does not speak VSCARD, or refused."""


def message(kind: int, reader: int, payload: bytes = b"") -> bytes:
    """Return one message."""
    return _HEADER.pack(kind, reader, len(payload)) + payload


class Messages:
    """Cuts a stream into (type, reader, payload). Sans-IO."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Return the messages that are whole now. Raises `BadVscard` for a length out of bounds."""
        self._kept += data
        found = []
        while len(self._kept) >= _HEADER.size:
            kind, reader, length = _HEADER.unpack_from(self._kept)
            if length > MAX_PAYLOAD:
                raise BadVscard("a length out of bounds")
            end = _HEADER.size + length
            if len(self._kept) < end:
                break
            found.append((kind, reader, self._kept[_HEADER.size : end]))
            self._kept = self._kept[end:]
        return found


class Vscard(FrontEnd):
    """One insertion into QEMU's virtual USB reader."""

    def __init__(self, card: Card, channel: socket.socket, delay_seconds: float = 0.0) -> None:
        super().__init__(card, channel, delay_seconds)
        self._messages = Messages()
        self.phase = Phase.GREETING
        self.reader = UNDEFINED_READER

    def remove(self) -> None:
        """Tell the host that the card is gone, and go."""
        if self.phase is Phase.IN:
            self.phase = Phase.GREETING
            try:
                self._channel.sendall(message(Type.CARD_REMOVE, self.reader) + message(Type.READER_REMOVE, self.reader))
            except OSError:
                pass
        super().remove()

    def _begin(self) -> None:
        self._send(message(Type.INIT, UNDEFINED_READER, MAGIC + struct.pack(">II", VERSION, 0)))

    def _received(self, data: bytes) -> None:
        for kind, reader, payload in self._messages.feed(data):
            if kind == Type.INIT:
                self._greeted(payload)
            elif kind == Type.ERROR:
                self._told(reader, payload)
            elif kind == Type.APDU and self.phase is Phase.IN:
                self._send(message(Type.APDU, self.reader, self._answer(payload)))
            elif kind == Type.FLUSH:
                self._send(message(Type.FLUSH_COMPLETE, reader))
            else:
                raise BadVscard(f"an unexpected message of type {kind}")

    def _greeted(self, payload: bytes) -> None:
        if len(payload) < 8 or payload[:4] != MAGIC:
            raise BadVscard("no VSCARD greeting")
        if self.phase is Phase.GREETING:  # QEMU greets twice: when its device is made, and as an answer
            self.phase = Phase.ADDING
            self._send(message(Type.READER_ADD, UNDEFINED_READER, b"Ward virtual card"))

    def _told(self, reader: int, payload: bytes) -> None:
        code = int.from_bytes(payload[:4], "big") if len(payload) >= 4 else -1
        if code:
            raise BadVscard(f"the host refused with error {code}")
        if self.phase is Phase.ADDING:
            self.phase, self.reader = Phase.INSERTING, reader
            self._send(message(Type.ATR, reader, answer_to_reset()))
        elif self.phase is Phase.INSERTING:
            self.phase = Phase.IN
            self.card.reset()
