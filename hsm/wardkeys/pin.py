"""The PIN: read from its file for one login and wiped; and the memory of a refused one, which outlives the process.

A refused PIN must not be tried again, not even by a service that is started again and again: each try counts towards blocking the
card. So a refusal is kept in a file with the identity (not the content) of the PIN file that was used, and the card's serial number:
a card may be meant by several sections of keys.toml (its PIV keys and its ISCL application), whose PIN is one and the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import threading
from collections.abc import Iterator
from typing import Any, Final

from wardgate.codes import Code
from wardkeys.errors import KeyServiceError

MAX_PIN: Final = 64


class Pin:
    """A PIN in a buffer of its own: `with Pin(path) as (buffer, length):`. The buffer is overwritten afterwards."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = ctypes.create_string_buffer(MAX_PIN + 2)

    def __enter__(self) -> tuple[Any, int]:
        """Read the file straight into the buffer. Raises `KeyServiceError`."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise KeyServiceError(Code.KEYS_PIN_FILE, f"{self._path}: {error.strerror}") from error
        try:
            mode = os.fstat(descriptor)
            if not stat.S_ISREG(mode.st_mode):
                raise KeyServiceError(Code.KEYS_PIN_FILE, f"{self._path} is no regular file")
            if mode.st_mode & 0o077:
                raise KeyServiceError(Code.KEYS_PIN_FILE, f"{self._path} may be read by other accounts: chmod 600")
            length = os.readv(descriptor, [self._buffer])
        finally:
            os.close(descriptor)
        raw = memoryview(self._buffer).cast("B")
        if length and raw[length - 1] == 0x0A:
            length -= 1
        if not 0 < length <= MAX_PIN:
            self.__exit__()
            raise KeyServiceError(Code.KEYS_PIN_FILE, f"{self._path} holds {length} bytes, a PIN has 1 to {MAX_PIN}")
        return self._buffer, length

    def __exit__(self, *_: object) -> None:
        """Overwrite the buffer."""
        ctypes.memset(self._buffer, 0, len(self._buffer))


class Latches:
    """The latches of one service: a card that refused the PIN of one section is tried by none."""

    def __init__(self) -> None:
        self._all: list[Latch] = []
        self._turns: dict[str, threading.Lock] = {}

    def add(self, latch: Latch) -> None:
        """One more, before the service begins."""
        self._all.append(latch)

    def refused_by(self, serial: str) -> bool:
        """Did the card of this serial number refuse the PIN of any section, and has nobody said since that there is another one?"""
        return any(latch.closed and latch.serial == serial for latch in self._all if serial)

    def turn(self, serial: str) -> threading.Lock:
        """Return the lock of a card: who looks whether its PIN may be tried has it until the try is over."""
        return self._turns.setdefault(serial, threading.Lock())


class Latch:
    """Remembers that the PIN in a file was refused, and by which card. Reads and writes one small file."""

    def __init__(self, memory: str, pin_file: str, latches: Latches | None = None) -> None:
        self._memory = memory
        self._pin_file = pin_file
        self._identity, self.serial = _remembered(memory)
        self._latches = latches or Latches()
        self._latches.add(self)

    @property
    def closed(self) -> bool:
        """Was the PIN refused, and has nobody said since that there is another one?"""
        return bool(self._identity)

    @contextlib.contextmanager
    def turn(self, serial: str) -> Iterator[str]:
        """While no other section tries a PIN on this card: why none may be tried, "" when one may."""
        with self._latches.turn(serial):
            if self.closed:
                yield "the PIN was refused and is not tried again"
            elif self._latches.refused_by(serial):
                yield "the card refused the PIN of another section, and none is tried"
            else:
                yield ""

    def close(self, serial: str = "") -> None:
        """Remember that the card refused the PIN; in this process at least when the file cannot be written."""
        self._identity, self.serial = _identity(self._pin_file) or "gone", serial
        try:
            descriptor = os.open(self._memory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{self._identity}\n{serial}")
                file.flush()
                os.fsync(file.fileno())
            self._sync_name()
        except OSError as error:
            raise KeyServiceError(Code.KEYS_HARDENING, f"{self._memory}: {error.strerror}: a restart may try the PIN again") from error

    def reload(self) -> bool:
        """The operator says so: open again if the PIN file is another one now. Returns whether it is open."""
        if self._identity and _identity(self._pin_file) not in ("", self._identity):
            self._identity = ""
            try:
                os.unlink(self._memory)
                self._sync_name()
            except OSError:
                pass
        return not self._identity

    def _sync_name(self) -> None:
        """Make it durable that the file is there, or that it is gone."""
        folder = os.open(os.path.dirname(self._memory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remembered(memory: str) -> tuple[str, str]:
    """Return identity and serial number in the file, ("", "") where there is none. A file that is empty (a full disk, a power cut) is a
    refusal all the same: it is made only for one."""
    try:
        with open(memory, encoding="ascii", errors="replace") as file:
            identity, _, serial = file.read(300).partition("\n")
            return identity or "unknown", serial
    except FileNotFoundError:
        return "", ""
    except OSError:
        return "unknown", ""


def _identity(path: str) -> str:
    """Tell one version of a file from another without its content."""
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    return f"{seen.st_dev} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"
