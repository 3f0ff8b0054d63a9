"""What the supervisor decides: bytes, levels and milliseconds in; bytes, the reset line and lights out. Sans-IO.

The watchdog (docs/supervisor.md, *The watchdog*): nothing is ever reset before the box has said ALIVE, a silence is answered by one reset,
and there are at most three of them in an hour.
"""

from supervisor.switch import Switch
from wardgate.supervisor.protocol import (
    ACK,
    ALIVE,
    EVENT,
    EVENT_BUTTON_HELD,
    EVENT_CARD_IN,
    EVENT_CARD_OUT,
    EVENT_RESET,
    EVENT_TAMPER_CLOSED,
    EVENT_TAMPER_OPENED,
    EVENT_WITHHELD,
    GRACE,
    HELLO,
    INPUT_CARD,
    INPUT_TAMPER,
    STATE_ARMED,
    STATE_GRACE,
    STATE_STARTING,
    STATE_UNARMED,
    STATE_WITHHELD,
    STATUS,
    Decoder,
    encode,
    number,
)

LEAST_SECONDS = 5  # of ALIVE and GRACE: what is asked for beyond these is taken as the nearest
MOST_SECONDS = 600
MOST_GRACE_SECONDS = 1800
RESETS_AN_HOUR = 3
HOUR = 3600000
PULSE = 250  # the reset line is pulled so long
DEAF = 2000  # after it: what the box said before is not heard as if it had come back
HELD = 3000  # a button that is held so long
BLINK = 500
AGAIN = 2000  # an event that the box has not taken is said again
MAX_EVENTS = 16
MAX_OUTPUT = 512


class Core:
    """The whole of the supervisor but its pins. Times are milliseconds of a clock that never goes back."""

    def __init__(self, now: int) -> None:
        self.state = STATE_UNARMED
        self._decoder = Decoder()
        self._output = b""
        self._deadline = 0
        self._serving = False
        self._resets: list[int] = []  # when, those of the last hour
        self._pulled = -DEAF
        self._events: list[tuple[int, int, int]] = []  # sequence, what, when
        self._sequence = 0
        self._lost = 0
        self._said = now
        self._card = Switch()
        self._tamper = Switch()
        self._button = Switch()
        self._pressed = 0
        self._held = True  # a button that is down when power comes says nothing

    def receive(self, data: bytes, now: int) -> None:
        """Take bytes of the line."""
        for kind, payload in self._decoder.feed(data):
            self._frame(kind, payload, now)

    def look(self, card: bool, tamper: bool, button: bool, now: int) -> None:
        """Take the levels of the inputs; the first ones that stand still are no event, but for an open box."""
        first = self._tamper.level is None
        if self._tamper.look(tamper, now) and (tamper or not first):
            self._happened(EVENT_TAMPER_OPENED if tamper else EVENT_TAMPER_CLOSED, now)
        first = self._card.level is None
        if self._card.look(card, now) and not first:
            self._happened(EVENT_CARD_IN if card else EVENT_CARD_OUT, now)
        first = self._button.level is None
        if self._button.look(button, now):
            self._pressed, self._held = now, first or not button
        if not self._held and now - self._pressed >= HELD:
            self._held = True
            self._happened(EVENT_BUTTON_HELD, now)

    def tick(self, now: int) -> None:
        """Let time pass: call it often."""
        self._resets = [when for when in self._resets if now - when < HOUR]
        if self.state in (STATE_ARMED, STATE_GRACE) and now >= self._deadline:
            if len(self._resets) < RESETS_AN_HOUR:
                self._pull(now)
            else:
                self.state = STATE_WITHHELD
                self._happened(EVENT_WITHHELD, now)
        elif self.state == STATE_WITHHELD and len(self._resets) < RESETS_AN_HOUR:
            self._pull(now)
        if self._events and now - self._said >= AGAIN:
            self._say_events(now)

    def take_output(self) -> bytes:
        """Return what is to be written to the line, once."""
        output, self._output = self._output, b""
        return output

    def pulls(self, now: int) -> bool:
        """Tell whether the reset line is to be pulled now."""
        return now - self._pulled < PULSE

    def lights(self, now: int) -> tuple[bool, bool, bool]:
        """Return green, amber, red: docs/supervisor.md, *Lights*."""
        blinks = now % (2 * BLINK) < BLINK
        red = self.state == STATE_WITHHELD or self._tamper.level is True
        if self.state == STATE_UNARMED:
            return blinks, False, red
        if self.state == STATE_ARMED:
            return self._serving, not self._serving, red
        return False, blinks, red

    def _frame(self, kind: int, payload: bytes, now: int) -> None:
        if kind == HELLO and not payload:
            self._say_status()
            self._say_events(now)
        elif kind == ALIVE and len(payload) == 3:
            if now - self._pulled >= DEAF:
                seconds = min(max(int.from_bytes(payload[:2], "big"), LEAST_SECONDS), MOST_SECONDS)
                self.state, self._deadline, self._serving = STATE_ARMED, now + 1000 * seconds, payload[2] == 1
            self._say_status()
        elif kind == GRACE and len(payload) == 2:
            # Not a second time without ALIVE between: a box could put it off for ever.
            if self.state == STATE_ARMED:
                seconds = min(max(int.from_bytes(payload, "big"), LEAST_SECONDS), MOST_GRACE_SECONDS)
                self.state, self._deadline = STATE_GRACE, now + 1000 * seconds
            self._say_status()
        elif kind == ACK and len(payload) == 2:
            sequence = int.from_bytes(payload, "big")
            self._events = [event for event in self._events if event[0] != sequence]
        # What else is whole and of this version is not known here, and nothing.

    def _pull(self, now: int) -> None:
        self.state, self._pulled = STATE_STARTING, now
        self._resets.append(now)
        self._happened(EVENT_RESET, now)

    def _happened(self, what: int, now: int) -> None:
        if len(self._events) >= MAX_EVENTS:  # the first ones tell more
            self._lost = min(self._lost + 1, 0xFF)
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._events.append((self._sequence, what, now))
        self._say_event(self._events[-1], now)

    def _say_events(self, now: int) -> None:
        for event in self._events:
            self._say_event(event, now)
        self._said = now

    def _say_event(self, event: tuple[int, int, int], now: int) -> None:
        sequence, what, when = event
        self._say(EVENT, number(sequence) + bytes([what]) + number((now - when) // 1000))

    def _say_status(self) -> None:
        inputs = (INPUT_CARD if self._card.level else 0) | (INPUT_TAMPER if self._tamper.level else 0)
        damaged = number(self._decoder.damaged + self._decoder.foreign)
        self._say(STATUS, bytes([self.state, len(self._resets), inputs]) + damaged + bytes([self._lost]))

    def _say(self, kind: int, payload: bytes) -> None:
        frame = encode(kind, payload)
        if len(self._output) + len(frame) <= MAX_OUTPUT:  # nobody reads: events are said again
            self._output += frame
