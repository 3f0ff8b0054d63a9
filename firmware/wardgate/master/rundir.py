"""The run directory: mode 0700 (0710 where keepers may ask for the status), held by one master at a time."""

from __future__ import annotations

import fcntl
import os
import stat


class RunDirError(Exception):
    """The run directory cannot be used."""


class AlreadyRunning(RunDirError):
    """Another master holds it."""


def hold(path: str, keepers: bool = False) -> int:
    """Make the directory if need be, lock it and return the lock's descriptor; the lock ends with the process.

    `keepers`: accounts of its group may walk through to what is open to them. Raises `RunDirError`, `AlreadyRunning`.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise RunDirError(f"{path} is not a directory of this account")
        os.chmod(path, 0o710 if keepers else 0o700)
        lock = os.open(os.path.join(path, "master.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RunDirError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise AlreadyRunning(path) from error
    return lock


def remove_file(path: str | None) -> None:
    """Remove what `write_file` wrote, if anything; somebody may have swept it away before."""
    if path is not None:
        try:
            os.unlink(path)
        except OSError:
            pass  # what is left goes with the directory


def write_file(directory: str, name: str, text: str) -> str:
    """Write a small file that only this account reads; return its path. Raises `OSError`."""
    path = os.path.join(directory, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    return path
