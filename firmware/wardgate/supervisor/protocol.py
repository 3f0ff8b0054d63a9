"""What box and supervisor say to each other on the serial line: docs/supervisor.md, *The line*. Sans-IO.

One file for both ends: it runs under CPython on the box and, copied by `make supervisor`, under MicroPython on the microcontroller. So no
import, no enum, no `Final`; names of one kind have one beginning.

A frame: COBS of (version, kind, payload, CRC-16 of these), then a zero. Numbers are unsigned, high byte first.
"""

VERSION = 1
MAX_PAYLOAD = 16
_SUM = 2
_MAX_BODY = 2 + MAX_PAYLOAD + _SUM
_MAX_WIRE = _MAX_BODY + 1  # COBS: one byte more below 255

# Box to supervisor.
HELLO = 0x01  # nothing: answer STATUS and every event that waits
ALIVE = 0x02  # seconds (2), serving (1): the box is well; be silent for `seconds` and it is reset. Answered by STATUS
GRACE = 0x03  # seconds (2): the box goes down on purpose. Answered by STATUS
ACK = 0x04  # sequence (2): this event is in the log
# Supervisor to box.
STATUS = 0x81  # state (1), resets of the last hour (1), inputs (1), frames that were none (2), events lost (1)
EVENT = 0x82  # sequence (2), what (1), seconds ago (2)

# States of the watchdog.
STATE_UNARMED = 0  # the box has not said that it is alive since the supervisor has power
STATE_ARMED = 1
STATE_GRACE = 2  # the box goes down on purpose and comes back
STATE_STARTING = 3  # was reset; nothing is asked of it until it speaks
STATE_WITHHELD = 4  # silent, and the resets of this hour are used up

# Inputs of STATUS, bits.
INPUT_CARD = 1
INPUT_TAMPER = 2

# What happened.
EVENT_RESET = 1
EVENT_WITHHELD = 2
EVENT_TAMPER_OPENED = 3
EVENT_TAMPER_CLOSED = 4
EVENT_CARD_IN = 5
EVENT_CARD_OUT = 6
EVENT_BUTTON_HELD = 7


def checksum(data: bytes) -> int:
    """Return the CRC-16 of `data`: polynomial 0x1021, begins with 0xFFFF, nothing reflected ("123456789": 0x29B1)."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ 0x1021 if value & 0x8000 else value << 1
        value &= 0xFFFF
    return value


def number(value: int) -> bytes:
    """Return two bytes; what is larger than 65535 is 65535."""
    return min(value, 0xFFFF).to_bytes(2, "big")


def encode(kind: int, payload: bytes = b"", version: int = VERSION) -> bytes:
    """Return a frame for the wire. `payload` has at most `MAX_PAYLOAD` bytes."""
    body = bytes([version, kind]) + payload
    body += checksum(body).to_bytes(2, "big")
    return _stuff(body) + b"\0"


class Decoder:
    """Bytes of the line in, frames out; keeps at most one frame's bytes.

    `damaged` counts what was no frame, `foreign` frames of another version; both stay at 65535.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._skips = False  # what came is too long to be a frame: nothing counts until the next zero
        self.damaged = 0
        self.foreign = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that are whole now: kind and payload."""
        frames = []
        for byte in data:
            if byte:
                if len(self._held) >= _MAX_WIRE:
                    self._skips = True
                else:
                    self._held.append(byte)
                continue
            held, skips = bytes(self._held), self._skips
            self._held, self._skips = bytearray(), False
            if not held:
                continue  # a zero to begin with clears the line
            body = b"" if skips else _unstuff(held)
            if len(body) < 2 + _SUM or checksum(body[:-_SUM]) != int.from_bytes(body[-_SUM:], "big"):
                self.damaged = min(self.damaged + 1, 0xFFFF)
            elif body[0] != VERSION:
                self.foreign = min(self.foreign + 1, 0xFFFF)
            else:
                frames.append((body[1], body[2:-_SUM]))
        return frames


def _stuff(body: bytes) -> bytes:
    """COBS of fewer than 255 bytes: each run without zeros after its length plus one."""
    return b"".join(bytes([len(run) + 1]) + run for run in body.split(b"\0"))


def _unstuff(wire: bytes) -> bytes:
    """Return what was stuffed, nothing when `wire` is no COBS. It has no zeros."""
    runs = []
    place = 0
    while place < len(wire):
        end = place + wire[place]
        if end > len(wire):
            return b""
        runs.append(wire[place + 1 : end])
        place = end
    return b"\0".join(runs)
