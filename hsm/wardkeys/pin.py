"""The PIN: read from its file for one login and wiped; and the memory of a refused one, which outlives the process.

A refused PIN must not be tried again, not even by a service that is started again and again: each try counts towards blocking the
card. So a refusal is kept in a file with the identity (not the content) of the PIN file that was used.
"""

from __future__ import annotations

import ctypes
import os
import stat
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


class Latch:
    """Remembers that the PIN in a file was refused. Reads and writes one small file."""

    def __init__(self, memory: str, pin_file: str) -> None:
        self._memory = memory
        self._pin_file = pin_file
        self._identity = _remembered(memory)

    @property
    def closed(self) -> bool:
        """Was the PIN refused, and has nobody said since that there is another one?"""
        return bool(self._identity)

    def close(self) -> None:
        """Remember that the PIN was refused; in this process at least when the file cannot be written."""
        self._identity = _identity(self._pin_file) or "gone"
        try:
            descriptor = os.open(self._memory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(self._identity)
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


def _remembered(memory: str) -> str:
    """Return the identity in the file, "" where there is none. A file that is empty (a full disk, a power cut) is a refusal all the same:
    it is made only for one."""
    try:
        with open(memory, encoding="ascii", errors="replace") as file:
            return file.read(200) or "unknown"
    except FileNotFoundError:
        return ""
    except OSError:
        return "unknown"


def _identity(path: str) -> str:
    """Tell one version of a file from another without its content."""
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    return f"{seen.st_dev} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"
