"""Whether the box is well: whether the service manager answers a question, asked by a program that is newly started.

That a program can be started, read from the disk and answered is what counts; what the answer is, is shown by a light only. Services that
hang are the service manager's to kill, and one that fails for a reason (a wrong policy, a closed vault) is not mended by a reset.
"""

from __future__ import annotations

import os
import subprocess
from enum import Enum
from typing import Final

ANSWER_SECONDS: Final = 10.0
_QUESTION: Final = ("systemctl", "show", "--property=ActiveState", "wardgate.service")
_MAX_ANSWER: Final = 256


class Health(Enum):
    """What an answer says of the box."""

    SERVING = "serving"
    WAITING = "well, and the gateway does not serve"
    NOT_WELL = "not well"


class Question:
    """One question at a time; `fd` is where its answer comes, -1 without one. Nothing here blocks."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._left: list[subprocess.Popen[bytes]] = []  # killed, not gone yet
        self._answer = b""
        self._asked = 0.0

    @property
    def fd(self) -> int:
        """The pipe that the answer comes by."""
        return self._process.stdout.fileno() if self._process is not None and self._process.stdout is not None else -1

    def ask(self, now: float) -> str:
        """Ask; return why that cannot be done, or nothing."""
        self._left = [process for process in self._left if process.poll() is None]
        if self._left:
            return "the last question is still asked"
        try:
            self._process = subprocess.Popen(_QUESTION, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            return f"{_QUESTION[0]}: {error.strerror}"
        os.set_blocking(self.fd, False)
        self._answer, self._asked = b"", now
        return ""

    def take(self, now: float) -> Health | None:
        """Return the answer when it is there, `NOT_WELL` when it is late or none, else None."""
        if self._process is None:
            return None
        data = self._read()
        if data is None and now - self._asked < ANSWER_SECONDS:
            return None
        if data:
            self._answer += data
            if len(self._answer) <= _MAX_ANSWER:
                return None
        health = _health(self._answer) if data == b"" else Health.NOT_WELL
        self.close()
        return health

    def close(self) -> None:
        """Ask no more."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
            if process.poll() is None:
                self._left.append(process)

    def _read(self) -> bytes | None:
        try:
            return os.read(self.fd, _MAX_ANSWER)
        except BlockingIOError:
            return None


def _health(answer: bytes) -> Health:
    word, equals, state = answer.decode("ascii", "replace").strip().partition("=")
    if word != "ActiveState" or not equals or not state.isalpha():
        return Health.NOT_WELL
    return Health.SERVING if state == "active" else Health.WAITING
