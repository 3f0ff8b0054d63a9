"""MicroPython's `machine` for a microcontroller that is not there: levels of inputs come from a file, each change of an output goes to one.

Run by MicroPython's unix port, which has no pins. Files are named by the environment: MCU_INPUTS (`gpio level` a line), MCU_PINS.
"""

import os
import time

_INPUTS = os.getenv("MCU_INPUTS")
_PINS = os.getenv("MCU_PINS")


def _write(text):
    with open(_PINS, "a") as file:
        file.write(f"{time.time_ns() // 1000000} {text}\n")


class Pin:
    """One pin. An open drain that is 1 is let go."""

    IN, OUT, OPEN_DRAIN, PULL_UP, PULL_DOWN = 0, 1, 2, 3, 4

    def __init__(self, gpio, mode, pull=None, value=None):
        self._gpio = gpio
        self._value = value
        if mode == Pin.IN:
            self._value = 1 if pull == Pin.PULL_UP else 0
        else:
            _write(f"{gpio} {'drain' if mode == Pin.OPEN_DRAIN else 'out'} {value}")

    def value(self, value=None):
        """Set it, or read it from the file."""
        if value is None:
            with open(_INPUTS) as file:
                for line in file:
                    words = line.split()
                    if len(words) == 2 and words[0] == str(self._gpio):
                        return int(words[1])
            return self._value
        if value != self._value:
            self._value = value
            _write(f"{self._gpio} is {value}")
        return None


class WDT:
    """The microcontroller's own watchdog; here nothing bites."""

    def __init__(self, timeout):
        _write(f"watchdog {timeout}")

    def feed(self):
        """Pet it."""
