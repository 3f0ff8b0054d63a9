"""A service manager's end of sd_notify: a datagram socket that tests read. It stands in for systemd, which does not run here."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path


class Manager:
    """Bound at once; `environment()` is what systemd would give the service."""

    def __init__(self, folder: Path, watchdog_seconds: float = 0.0) -> None:
        self._path = folder / "notify.sock"
        self._watchdog_seconds = watchdog_seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(self._path))
        self.said: list[tuple[float, int, str]] = []  # when, pid of the sender, words

    def environment(self) -> dict[str, str]:
        """Return NOTIFY_SOCKET and, with a watchdog, WATCHDOG_USEC."""
        more = {"WATCHDOG_USEC": str(int(self._watchdog_seconds * 1e6))} if self._watchdog_seconds else {}
        return {"NOTIFY_SOCKET": str(self._path), **more}

    def hear(self, seconds: float, stop_at: str = "") -> list[str]:
        """Listen for so long, or until a message with the line `stop_at`; return the messages of this time."""
        deadline, heard = time.monotonic() + seconds, []
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
            except TimeoutError:
                break
            text = data.decode()
            self.said.append((time.monotonic(), int.from_bytes(ancillary[0][2][:4], "little"), text))
            heard.append(text)
            if stop_at and stop_at in text.splitlines():
                break
        return heard

    def drop(self) -> None:
        """Forget what lies in the queue."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        os.unlink(self._path)
