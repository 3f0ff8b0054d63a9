"""Copies an image to its target, then reads the target back and compares what is on it."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, cast

CHUNK: Final = 4 << 20
_AHEAD: Final = 32 << 20  # of what is not on the disk yet, so that progress is that of the disk
_BLKFLSBUF: Final = 0x1261  # linux/fs.h: forget what is cached of the device
_BLKRRPART: Final = 0x125F  # read its partition table again

_CHANGED: Final = "the image changed while it was written"

Progress = Callable[[str, int], None]
# What reading an image may raise, packed or not.
UNREADABLE: Final = (OSError, EOFError, lzma.LZMAError, zlib.error)


class InUse(OSError):
    """The disk cannot be opened for writing by one alone; nothing was written."""


class Different(Exception):
    """What was read back, or written, is not what was measured."""


def chunks(image: Path) -> Iterator[bytes]:
    """Yield the image, unpacked (.gz, .xz). Raises one of `UNREADABLE`."""
    with _opened(image) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _opened(image: Path) -> gzip.GzipFile | IO[bytes]:
    if image.suffix == ".gz":
        return cast(IO[bytes], gzip.open(image))
    return lzma.open(image) if image.suffix == ".xz" else image.open("rb")


def is_disk(image: Path) -> bool:
    """Does it begin as a disk does (UEFI 5.3.2: the header of a GPT in the second sector)? A file in another packing does not."""
    return next(chunks(image), b"")[512:520] == b"EFI PART"


def measured(image: Path) -> tuple[int, str]:
    """Return size and SHA-256 of the image, unpacked: read whole before anything is written, so a damaged one destroys nothing."""
    total, size = sha256(), 0
    for chunk in chunks(image):
        total.update(chunk)
        size += len(chunk)
    return size, total.hexdigest()


def flash(image: Path, target: str, size: int, digest: str, progress: Progress) -> None:
    """Write and read back. Raises `Different`, `InUse` (a mounted disk cannot be opened: O_EXCL), one of `UNREADABLE`."""
    # On a block device O_EXCL without O_CREAT is the kernel's own guard: it fails while anything has it mounted.
    try:
        fd = os.open(target, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise InUse(error.errno, error.strerror, target) from error
    try:
        if _write(fd, image, size, progress) != digest:
            raise Different(_CHANGED)
        os.fsync(fd)
        if stat.S_ISBLK(os.fstat(fd).st_mode):
            fcntl.ioctl(fd, _BLKFLSBUF, 0)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    if (found := read_back(target, size, progress)) != digest:
        raise Different(f"the disk holds {found}, the image is {digest}")
    _look_again(target)


def _write(fd: int, image: Path, size: int, progress: Progress) -> str:
    """Return SHA-256 of what was written. Raises `Different` before anything is written behind `size`."""
    total, done = sha256(), 0
    for chunk in chunks(image):
        if done + len(chunk) > size:
            raise Different(_CHANGED)
        total.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
        done += len(chunk)
        if done // _AHEAD > (done - len(chunk)) // _AHEAD:
            os.fdatasync(fd)
        progress("written", done)
    return total.hexdigest()


def read_back(target: str, size: int, progress: Progress) -> str:
    """Return SHA-256 of the first `size` bytes that are on the target."""
    total, done = sha256(), 0
    with open(target, "rb", buffering=0) as file:
        while done < size and (chunk := file.read(min(CHUNK, size - done))):
            total.update(chunk)
            done += len(chunk)
            progress("read back", done)
    return total.hexdigest()


def _look_again(target: str) -> None:
    """The kernel still has the old partition table."""
    with contextlib.suppress(OSError), open(target, "rb") as file:
        fcntl.ioctl(file.fileno(), _BLKRRPART, 0)
