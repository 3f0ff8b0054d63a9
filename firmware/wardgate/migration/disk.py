"""Files and folders of a migration: what is written is on the disk, with its name, when these return and its folder was synced."""

from __future__ import annotations

import os
import stat
from typing import Final

from wardgate.custody.files import sync_directory

_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC


class ForeignFile(Exception):
    """Not a plain file of this account within the area: it could not be put back as it was."""


def read(root: str, path: str, limit: int) -> tuple[bytes, int] | None:
    """Return contents and permissions of `path` below `root`, None when it is not there. Raises `ForeignFile`, `OSError`."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        try:
            kind = os.lstat(os.path.join(root, *parts[:depth])).st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(kind):
            raise ForeignFile(f"{'/'.join(parts[:depth])} is no folder")
    try:
        # A pipe without a writer would keep us waiting.
        fd = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ForeignFile(f"{path} is no plain file with one name")
        if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
            raise ForeignFile(f"{path} belongs to {found.st_uid}:{found.st_gid}")
        if found.st_size > limit:
            raise ForeignFile(f"{path} has {found.st_size} bytes, and {limit} may be")
        data = bytearray()
        while len(data) <= limit and (more := os.read(fd, limit + 1 - len(data))):
            data += more
    finally:
        os.close(fd)
    return bytes(data), stat.S_IMODE(found.st_mode) & 0o777


def put(path: str, data: bytes, mode: int) -> None:
    """Make a file. Raises `OSError`, also where there is one."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def make(path: str) -> None:
    """Make a folder. Raises `OSError`."""
    os.mkdir(path, 0o750)


def exists(path: str) -> bool:
    """Is there something by this name, be it a link to nothing?"""
    return os.path.lexists(path)


def move(old: str, new: str) -> None:
    """Give a file or folder another name, in place of what has it. Raises `OSError`."""
    os.rename(old, new)


def remove(path: str) -> None:
    """Remove a file that may be gone already. Raises `OSError`."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync(folder: str) -> None:
    """Make the names in a folder durable. Raises `OSError`."""
    sync_directory(folder)


def clear(folder: str) -> None:
    """Remove a folder of files; one that is not there is no error. Raises `OSError`."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        remove(os.path.join(folder, name))
    os.rmdir(folder)
