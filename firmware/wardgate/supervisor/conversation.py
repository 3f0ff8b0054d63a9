"""The box's side of the line, as long as one opening of it lasts. Sans-IO: bytes and seconds in; bytes and what happened out."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

from wardgate.supervisor import protocol

SILENT_SECONDS: Final = 20.0  # every ALIVE and HELLO is answered at once
_HELLO_SECONDS: Final = 5.0
_REMEMBERED: Final = 4 * 16  # events that were acknowledged: more than the supervisor can keep


class State(Enum):
    """How the supervisor's watchdog stands."""

    UNARMED = protocol.STATE_UNARMED
    ARMED = protocol.STATE_ARMED
    GRACE = protocol.STATE_GRACE
    STARTING = protocol.STATE_STARTING
    WITHHELD = protocol.STATE_WITHHELD


class What(Enum):
    """What the supervisor tells of."""

    RESET = protocol.EVENT_RESET
    WITHHELD = protocol.EVENT_WITHHELD
    TAMPER_OPENED = protocol.EVENT_TAMPER_OPENED
    TAMPER_CLOSED = protocol.EVENT_TAMPER_CLOSED
    CARD_IN = protocol.EVENT_CARD_IN
    CARD_OUT = protocol.EVENT_CARD_OUT
    BUTTON_HELD = protocol.EVENT_BUTTON_HELD


class Status(NamedTuple):
    """An answer of the supervisor: `damaged` frames that it could not read, `lost` events that it had no room for."""

    state: State
    resets: int
    card: bool
    tamper: bool
    damaged: int
    lost: int


class Event(NamedTuple):
    """Something happened, `ago` seconds before it was told (65535: then or earlier)."""

    what: What
    ago: int


class Conversation:
    """`silent`: nothing was answered for long. `unknown`: frames that say nothing here, up to 65535."""

    def __init__(self, now: float) -> None:
        self._decoder = protocol.Decoder()
        self._output = b"\0"  # ends what a predecessor left
        self._acknowledged: deque[int] = deque(maxlen=_REMEMBERED)
        self._hello = now
        self._heard = now
        self.silent = False
        self.unknown = 0
        self._say(protocol.HELLO)

    @property
    def damaged(self) -> int:
        """What was no frame of this version."""
        return self._decoder.damaged + self._decoder.foreign + self.unknown

    @property
    def foreign(self) -> int:
        """How many frames were of another version."""
        return self._decoder.foreign

    def receive(self, data: bytes, now: float) -> list[Status | Event]:
        """Take bytes of the line; return what they say. Nothing that comes raises."""
        told: list[Status | Event] = []
        for kind, payload in self._decoder.feed(data):
            one = self._event(payload) if kind == protocol.EVENT else _status(payload) if kind == protocol.STATUS else None
            if isinstance(one, Status):
                self.silent, self._heard = False, now
            if one is None:
                self.unknown = min(self.unknown + 1, 0xFFFF)
            elif one is not _AGAIN:
                told.append(one)
        return told

    def tick(self, now: float) -> None:
        """Let time pass: a silent supervisor is asked again."""
        self.silent = now - self._heard >= SILENT_SECONDS
        if now - max(self._heard, self._hello) >= _HELLO_SECONDS:
            self._hello = now
            self._say(protocol.HELLO)

    def alive(self, seconds: int, serving: bool) -> None:
        """The box is well; it is to be reset when this is not said for `seconds`."""
        self._say(protocol.ALIVE, protocol.number(seconds) + bytes([serving]))

    def grace(self, seconds: int) -> None:
        """The box goes down on purpose and is back within `seconds`."""
        self._say(protocol.GRACE, protocol.number(seconds))

    def take_output(self) -> bytes:
        """Return what is to be written, once."""
        output, self._output = self._output, b""
        return output

    def _say(self, kind: int, payload: bytes = b"") -> None:
        self._output += protocol.encode(kind, payload)

    def _event(self, payload: bytes) -> Event | None:
        if len(payload) != 5:
            return None
        sequence, ago = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[3:], "big")
        self._say(protocol.ACK, payload[:2])  # also one that is not known here: it would be told for ever
        try:
            event = Event(What(payload[2]), ago)
        except ValueError:
            return None
        if sequence in self._acknowledged:
            return _AGAIN
        self._acknowledged.append(sequence)
        return event


_AGAIN: Final = Event(What.RESET, -1)  # was told before


def _status(payload: bytes) -> Status | None:
    if len(payload) != 6:
        return None
    try:
        state = State(payload[0])
    except ValueError:
        return None
    card, tamper = bool(payload[2] & protocol.INPUT_CARD), bool(payload[2] & protocol.INPUT_TAMPER)
    return Status(state, payload[1], card, tamper, int.from_bytes(payload[3:5], "big"), payload[5])
