"""Pins and line of an RP2040 under MicroPython. `pins` is made of the board's supervisor.toml by `make supervisor`."""

import select
import sys

import machine
import micropython
import pins

MOST_AT_ONCE = 64  # bytes of the line a turn
PATIENCE = 8000  # milliseconds: the microcontroller's own watchdog, its longest but for a little


class Pico:
    """What the loop needs of the world."""

    def __init__(self) -> None:
        # First of all, and let go: a board must not be reset because its supervisor starts.
        self._outputs = [_output(pin) for pin in (pins.BOARD_RESET, pins.LIGHT_GREEN, pins.LIGHT_AMBER, pins.LIGHT_RED)]
        self._inputs = [(_input(pin), pin[1]) for pin in (pins.CARD_SWITCH, pins.TAMPER, pins.BUTTON)]
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._watchdog: machine.WDT | None = None

    def begin(self) -> None:
        """From now on nothing ends the program: no byte 3 on the line, and a loop that hangs begins anew."""
        micropython.kbd_intr(-1)
        self._watchdog = machine.WDT(timeout=PATIENCE)

    def read(self) -> bytes:
        """Return what has come, without waiting."""
        data = bytearray()
        while len(data) < MOST_AT_ONCE and self._poll.poll(0):
            byte = sys.stdin.buffer.read(1)
            if not byte:
                break
            data += byte
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Write to the line."""
        sys.stdout.buffer.write(data)

    def inputs(self) -> list[bool]:
        """Return card, tamper, button: active or not."""
        return [pin.value() == active for pin, active in self._inputs]

    def drive(self, pulls: bool, green: bool, amber: bool, red: bool) -> None:
        """Set the reset line and the lights."""
        wanted = (pulls, green, amber, red)
        for place, (pin, active) in enumerate(self._outputs):
            pin.value(active if wanted[place] else 1 - active)

    def pet(self) -> None:
        """Tell the microcontroller's own watchdog that the loop turns."""
        if self._watchdog is not None:
            self._watchdog.feed()


def _input(pin: tuple[int, int, int]) -> machine.Pin:
    pulls = {1: machine.Pin.PULL_UP, 0: machine.Pin.PULL_DOWN}
    return machine.Pin(pin[0], machine.Pin.IN, pulls.get(pin[2], -1))


def _output(pin: tuple[int, int, int]) -> tuple[machine.Pin, int]:
    gpio, active, drain = pin
    # A line that is active when low is pulled, never driven high: the board has its own resistor, and perhaps a button.
    mode = machine.Pin.OPEN_DRAIN if drain else machine.Pin.OUT
    return machine.Pin(gpio, mode, value=1 - active), active
