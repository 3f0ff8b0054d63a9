"""Small durable file operations: what is written is on disk, with its name, when these return."""

from __future__ import annotations

import os

_LOCK_NAME = "lock"


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: str, data: bytes) -> None:
    """Write a file under a temporary name, sync it, rename it. The directory is not synced: see `sync_directory`."""
    temporary = path + ".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def read_file(path: str, limit: int) -> bytes:
    """Return a whole file of at most `limit` bytes. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        room = min(os.fstat(fd).st_size, limit) + 1
        data = os.read(fd, room)
        while len(data) < room and (more := os.read(fd, room - len(data))):
            data += more
    finally:
        os.close(fd)
    if len(data) > limit:
        raise OSError(27, "file is longer than it may be", path)
    return data


def lock(directory: str) -> int:
    """Take the lock of a log directory and return its descriptor. Raises `BlockingIOError` when another process has it."""
    import fcntl

    fd = os.open(os.path.join(directory, _LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd
