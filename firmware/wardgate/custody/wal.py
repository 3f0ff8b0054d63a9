"""One write-ahead file: preallocated, written at its end, synced; its frames are in `frames`.

Files are named `wal-<number>`. The highest number with a state frame is the one being written; a higher one without is
prepared for the next turn; lower ones wait until a checkpoint covers them.
"""

from __future__ import annotations

import os
import re
from typing import Final

from wardgate.custody.files import sync_directory

CHUNK: Final = 1024 * 1024  # bytes preallocated at a time
MAX_FILE: Final = 1 << 30
LAY: Final = 256 * 1024  # bytes of zeros written ahead at a time
_ZEROS: Final = bytes(LAY)
_NAME: Final = re.compile(r"wal-([0-9]{12})")


class Wal:
    """The file being written. `position`: end of what was written, `synced`: end of what is on disk, `allocated`: room."""

    def __init__(self, path: str, fd: int, allocated: int) -> None:
        self.path = path
        self.fd = fd
        self.allocated = allocated
        self.position = 0
        self.synced = 0
        self._laid = 0  # end of what was written, of zeros too

    @property
    def room(self) -> int:
        """Bytes that can be written without asking the file system for space."""
        return self.allocated - self.position

    def write(self, data: bytes) -> None:
        """Write at the end. Raises `OSError`; then the file is not to be trusted beyond `synced`."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.fd, view, self.position)
            self.position += count
            view = view[count:]
        if self.position > self.allocated:
            self.allocated = self.position
        if self.position > self._laid:
            self._lay()

    def _lay(self) -> None:
        """Write zeros ahead, into blocks that are allocated: the sync of a block that was never written costs a commit of the file
        system's journal, that of one that is overwritten does not. Raises `OSError`."""
        self._laid = self.position + min(LAY, self.allocated - self.position)
        zeros = memoryview(_ZEROS)[: self._laid - self.position]
        at = self.position
        while zeros:
            count = os.pwrite(self.fd, zeros, at)
            zeros, at = zeros[count:], at + count

    def sync(self) -> None:
        """Make everything written durable. Raises `OSError`; the kernel may have dropped the pages, so never call it again then."""
        os.fdatasync(self.fd)
        self.synced = self.position

    def reserve(self, size: int) -> None:
        """Preallocate so that `size` more bytes can be written. Raises `OSError` (ENOSPC)."""
        want = self.position + size
        if want <= self.allocated:
            return
        if want > MAX_FILE:
            raise OSError(28, "the write-ahead file may not grow further", self.path)
        target = min(-(-want // CHUNK) * CHUNK, MAX_FILE)
        try:
            os.posix_fallocate(self.fd, self.allocated, target - self.allocated)
        except OSError:
            os.posix_fallocate(self.fd, self.allocated, want - self.allocated)
            target = want
        self.allocated = target

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def wal_path(directory: str, number: int) -> str:
    """Return the path of the file with this number."""
    return os.path.join(directory, f"wal-{number:012d}")


def wal_numbers(directory: str) -> list[int]:
    """Return the numbers of the write-ahead files in a directory, lowest first."""
    return sorted(int(match[1]) for name in os.listdir(directory) if (match := _NAME.fullmatch(name)))


def create(directory: str, number: int, size: int) -> Wal:
    """Make a new, empty, preallocated file whose name is durable. Raises `OSError`."""
    path = wal_path(directory, number)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        wal = Wal(path, fd, 0)
        wal.reserve(max(size, 1))
        os.fsync(fd)
        sync_directory(directory)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return wal
