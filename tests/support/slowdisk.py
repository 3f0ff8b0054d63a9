"""A disk under a queue that stands still, or fails, when it is told to."""

from __future__ import annotations

import errno
import threading
from typing import Final

from wardgate.hold.files import Files

SECONDS: Final = 100.0


class SlowDisk(Files):
    """Writes wait while `goes` is not set; with `fails` they end in EIO."""

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.goes.set()
        self.fails = False

    def _wait(self) -> None:
        assert self.goes.wait(SECONDS), "nobody lets it go on"
        if self.fails:
            raise OSError(errno.EIO, "made to fail")

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write, in the end."""
        self._wait()
        super().write_at(fd, data, offset)

    def write_durable(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """The same."""
        self._wait()
        super().write_durable(fd, data, offset)
