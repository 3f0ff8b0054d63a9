"""The program that MicroPython starts: a loop that turns a hundred times a second."""

import time

from supervisor.core import Core
from supervisor.pico import Pico

TURN = 10  # milliseconds
SETTLE = 100


def run(board: Pico) -> None:
    """Never returns, unless the button is down when power comes: then the line is MicroPython's own, to copy another program to it."""
    time.sleep_ms(SETTLE)
    if board.inputs()[2]:
        return
    board.begin()
    last = time.ticks_ms()
    now = 0  # goes on where ticks_ms() begins anew
    core = Core(now)
    while True:
        ticks = time.ticks_ms()
        now += time.ticks_diff(ticks, last)
        last = ticks
        core.receive(board.read(), now)
        card, tamper, button = board.inputs()
        core.look(card, tamper, button, now)
        core.tick(now)
        green, amber, red = core.lights(now)
        board.drive(core.pulls(now), green, amber, red)
        output = core.take_output()
        if output:
            board.write(output)
        board.pet()
        time.sleep_ms(TURN)


run(Pico())
