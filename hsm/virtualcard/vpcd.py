"""Front end for vpcd, the virtual reader of the vsmartcard project: the card is the TCP client, pcscd's driver listens.

Each message either way is a length (u16, big endian) and that many bytes. A message of one byte is a command to the card: 0 power off,
1 power on, 2 reset, 4 send the ATR (answered); any longer one is a command APDU (answered).
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum

from virtualcard.card import Card, answer_to_reset
from virtualcard.frontend import FrontEnd


class Control(IntEnum):
    """Messages of one byte."""

    POWER_OFF = 0
    POWER_ON = 1
    RESET = 2
    ATR = 4


class Frames:
    """Cuts a stream into messages. Sans-IO; what is kept is bounded by the 65,535 bytes of a length."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now."""
        self._kept += data
        found = []
        while len(self._kept) >= 2:
            (length,) = struct.unpack_from(">H", self._kept)
            if len(self._kept) < 2 + length:
                break
            found.append(self._kept[2 : 2 + length])
            self._kept = self._kept[2 + length :]
        return found


def frame(message: bytes) -> bytes:
    """Return a message with its length before it."""
    return struct.pack(">H", len(message)) + message


class Vpcd(FrontEnd):
    """One insertion into a vpcd reader."""

    def __init__(self, card: Card, channel: socket.socket, delay_seconds: float = 0.0) -> None:
        super().__init__(card, channel, delay_seconds)
        self._frames = Frames()

    def _received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if len(message) > 1:
                self._send(frame(self._answer(message)))
            elif message == bytes([Control.ATR]):
                self._send(frame(answer_to_reset()))
            elif message in (bytes([Control.POWER_OFF]), bytes([Control.POWER_ON]), bytes([Control.RESET])):
                self.card.reset()
