"""The acts that start break-glass: a button held down, a card put in. Each has a descriptor for `netd`'s loop; none may raise in it.

Button: an input device of the kernel (evdev; a key of `gpio-keys`, of a microcontroller that speaks HID, of a keyboard). It has to be held:
a bump is no decision. Card: the key service tells when the token that policy names is there *and took its PIN*; what counts is that it
was put in while `netd` watched. One that lies in the reader already starts nothing, and starts nothing again when the bypass has ended.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, Final

from wardgate.token.watching import MAX_PACKET, WATCH, WatchError, report_in, request

# linux/input.h: struct input_event { struct timeval; __u16 type; __u16 code; __s32 value; }
_EVENT: Final = struct.Struct("llHHi")
_EV_KEY: Final = 1
_DOWN, _UP = 1, 0
_EVIOCSCLOCKID: Final = 0x400445A0
RETRY_SECONDS: Final = 2.0


class Button:
    """A key of an input device that has to be held for `seconds`. `code`: its number in linux/input-event-codes.h; 0: any key."""

    def __init__(self, path: Path, code: int, seconds: float) -> None:
        self._path, self._code, self._seconds = path, code, seconds
        self.fd = -1
        self.problem = ""
        self._since: float | None = None
        self._down = 0.0  # when the key went down, by the kernel's clock of the events
        self._was_held = False
        self._rest = b""

    def open(self) -> bool:
        """Open the device if it is not; tell whether it has just been opened."""
        if self.fd >= 0:
            return False
        try:
            self.fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"
            return False
        try:
            fcntl.ioctl(self.fd, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
        except OSError:
            pass  # no input device of the kernel's, on a bench
        self.problem, self._since, self._was_held, self._rest = "", None, False, b""
        return True

    def read(self, now: float) -> None:
        """Take what the device says."""
        try:
            data = self._rest + os.read(self.fd, 64 * _EVENT.size)
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self.problem = f"{self._path}: {error.strerror}"
            return
        if len(data) == len(self._rest):
            self.close()
            self.problem = f"{self._path}: it ended"
            return
        whole = len(data) - len(data) % _EVENT.size
        self._rest = data[whole:]
        for seconds, micros, kind, code, value in _EVENT.iter_unpack(data[:whole]):
            if kind != _EV_KEY or self._code not in (0, code):
                continue
            at = seconds + micros / 1e6
            if value == _DOWN:
                self._since, self._down = now, at
            elif value == _UP and self._since is not None:
                # Down and up may be read together, by a `netd` that was busy: the kernel's own times tell how long it was held.
                self._was_held |= at - self._down >= self._seconds
                self._since = None

    def held(self, now: float) -> bool:
        """Tell, once for each time it is pressed, that it was held long enough."""
        still = self._since is not None and now - self._since >= self._seconds
        if not still and not self._was_held:
            return False
        self._since, self._was_held = None, False
        return True

    def close(self) -> None:
        """Let go of the device."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Card:
    """A token of the key service, by its name there. `netd` may watch the key service and nothing else (`watch_uids` in keys.toml)."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._socket: socket.socket | None = None
        self._there: bool | None = None  # None: not told yet, so that nothing can have been put in
        self.problem = ""

    @property
    def fd(self) -> int:
        """The connection's descriptor, -1 without one."""
        return self._socket.fileno() if self._socket is not None else -1

    def open(self) -> bool:
        """Connect if it is not; tell whether it has just been connected."""
        if self._socket is not None:
            return False
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(str(self._path))
            sock.send(request(WATCH, 1))
        except OSError as error:
            sock.close()
            self.problem = f"{self._path}: {error.strerror}"
            return False
        self._socket, self.problem = sock, ""
        return True

    def read(self) -> str:
        """Take what the key service says; return the label of the card that was put in, else ""."""
        assert self._socket is not None
        try:
            packet = self._socket.recv(MAX_PACKET + 1)
            if not packet:
                raise WatchError("it closed the connection")
            row = _row(report_in(packet), self._name)
        except BlockingIOError:
            return ""
        except (OSError, WatchError) as error:
            self.close()
            self.problem = f"{self._path}: {error}"
            return ""
        self.problem = "" if row else f"{self._path}: it knows no token {self._name}"
        there = row.get("state") == "present"
        was, self._there = self._there, there
        return str(row.get("label") or self._name) if there and was is False else ""

    def close(self) -> None:
        """Disconnect. What is put in until the next word counts as lying there."""
        self._there = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _row(report: object, name: str) -> dict[str, Any]:
    rows = report.get("tokens") if isinstance(report, dict) else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("name") == name:
            return row
    return {}
