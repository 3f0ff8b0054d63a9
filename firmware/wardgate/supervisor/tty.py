"""The serial line: opened raw and alone, without a library."""

from __future__ import annotations

import fcntl
import os
import termios
import tty
from typing import Final

_MOST: Final = 4096  # bytes kept
_AT_ONCE: Final = 512  # bytes read


class Line:
    """A terminal device; `fd` is -1 while it is not open. Nothing here raises or blocks."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pending = b""
        self.fd = -1
        self.problem = ""

    def open(self) -> bool:
        """Open it; tell whether it is open."""
        if self.fd >= 0:
            return True
        try:
            self.fd = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(self.fd, termios.TIOCEXCL)
            tty.setraw(self.fd, termios.TCSANOW)
        except (OSError, termios.error) as error:
            self.close(f"{self._path}: {error.args[-1]}")
            return False
        self._pending = b""
        return True

    def read(self) -> bytes:
        """Return what has come; a line that is gone is closed."""
        try:
            data = os.read(self.fd, _AT_ONCE)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.close(f"{self._path}: {error.strerror}")
            return b""
        if not data:
            self.close(f"{self._path}: it ended")
        return data

    def write(self, data: bytes) -> None:
        """Write as much as goes; the rest is kept, up to a bound: a line that takes nothing is no reason to wait."""
        if self.fd < 0:
            return
        self._pending = (self._pending + data)[:_MOST]
        try:
            if self._pending:
                self._pending = self._pending[os.write(self.fd, self._pending) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(f"{self._path}: {error.strerror}")

    def close(self, problem: str = "") -> None:
        """Let go of it."""
        self.problem = problem
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
