"""Every write of the queue to its disk goes through here, so that a test can record them in order (and replay a crash).

What is written is durable only after `sync`; a name only after `sync_directory` of its directory.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import sys
from typing import Final

_PUNCH: Final = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE (linux/falloc.h)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


_MAKE: Final = "import os, sys\ntry: os.mkdir(sys.argv[1], 0o750)\nexcept OSError as error: sys.exit(error.errno)"
_PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def is_passing(error: Exception) -> bool:
    """Does this process, or the box, lack something for a moment? Then nothing is wrong with what it wanted to open."""
    return isinstance(error, OSError) and error.errno in _PASSING


def _through_the_cache(fd: int) -> bool:
    """Write through the page cache again; false when that was so already."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return bool(flags & os.O_DIRECT)


def is_shared(path: str) -> bool:
    """Does this directory give what is made in it to its group (mode g+s)? Who keeps the box has made it so, for the custody writer."""
    return bool(os.stat(path).st_mode & stat.S_ISGID)


def _make_for_the_group(path: str) -> None:
    """Make a directory of mode 0750, and what its parent hands down. Raises `OSError`.

    Not by chmod: to set g+s, or not to lose it, is not for a service (RestrictSUIDSGID=). Nor under another umask here, which is that of
    every thread: a child of its own does it, once in the life of a box.
    """
    import subprocess

    words = [sys.executable, "-I", "-S", "-c", _MAKE, path]
    try:
        status = subprocess.run(words, umask=0o027, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode
    except subprocess.TimeoutExpired:
        status = errno.ETIMEDOUT
    if status not in (0, errno.EEXIST):
        raise OSError(max(status, 1), f"no directory: {os.strerror(max(status, 1))}", path)


class Files:
    """The operations of the queue on its disk. Each raises `OSError`."""

    def make_directory(self, path: str) -> None:
        """Make a directory of mode 0700 if it is not there, and its name durable. In one that is its group's, it is that too."""
        if os.path.isdir(path):
            return
        if is_shared(os.path.dirname(path)):
            _make_for_the_group(path)
        else:
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                return
        self.sync_directory(os.path.dirname(path))

    def create(self, path: str) -> int:
        """Make a new file of mode 0600 and return its descriptor. In a directory that is its group's, those may read it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if is_shared(os.path.dirname(path)):
            os.fchmod(fd, 0o640)
        return fd

    def look(self, path: str) -> int:
        """Open a file that is there, to read it."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open(self, path: str) -> int:
        """Open a file that is there, to change it."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def append(self, path: str) -> int:
        """Open a file that is there, to write at its end."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of `data` at the end of what was written before."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at a place."""
        self._write_at(fd, data, offset, 0)

    def write_durable(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at a place and make it durable, and what is needed to find it again; nothing else that was written."""
        self._write_at(fd, data, offset, os.RWF_DSYNC)

    def _write_at(self, fd: int, data: bytes | memoryview, offset: int, flags: int) -> None:
        try:
            count = os.pwritev(fd, (data,), offset, flags)
        except OSError as error:
            if error.errno != errno.EINVAL or not _through_the_cache(fd):
                raise
            count = os.pwritev(fd, (data,), offset, flags)  # this file system wants larger blocks than ours
        while count < len(data):
            count += os.pwritev(fd, (memoryview(data)[count:],), offset + count, flags)

    def direct(self, fd: int) -> None:
        """Write past the page cache from now on: whole blocks, from aligned memory. Where the file system cannot, nothing changes."""
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
        except OSError:
            pass

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def punch(self, fd: int, offset: int, size: int) -> None:
        """Give the space of a part of a file back; it reads as zeros. Where the file system cannot, nothing happens."""
        if _libc.fallocate(fd, _PUNCH, offset, size):
            code = ctypes.get_errno()
            if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(code, os.strerror(code))

    def sync(self, fd: int) -> None:
        """Make what was written durable, and what is needed to find it again."""
        os.fdatasync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of any that has it."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def write_whole(self, path: str, data: bytes) -> None:
        """Put a small file in place of whatever was there: temporary name, sync, rename, sync of the directory."""
        temporary = f"{path}.{os.getpid()}.tmp"
        self.unlink(temporary)
        fd = self.create(temporary)
        try:
            try:
                self.write(fd, data)
                self.sync(fd)
            finally:
                self.close(fd)
            self.rename(temporary, path)
        except OSError:
            self.unlink(temporary)
            raise
        self.sync_directory(os.path.dirname(path))
