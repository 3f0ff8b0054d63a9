"""The kernel is told that a partition has grown: BLKPG_RESIZE_PARTITION (linux/blkpg.h), which leaves the partition where it is.

`partx --update` takes it away and adds it again, and its name below /dev/disk is gone for a moment; not every root has `resizepart`.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
from typing import Final

SECTOR: Final = 512  # what the kernel counts by, whatever the disk's own are
_BLKPG: Final = 0x1269
_RESIZE: Final = 3
_ARGUMENT: Final = struct.Struct("@iiiP")  # struct blkpg_ioctl_arg: op, flags, datalen, data
_PARTITION: Final = struct.Struct("@qqi64s64s0q")  # struct blkpg_partition: start, length (bytes), pno, devname, volname


def resize(disk: str, number: int, start: int, sectors: int) -> None:
    """Tell the kernel that partition `number` of `disk`, which starts at sector `start`, has `sectors` now. Raises `OSError`."""
    partition = array.array("B", _PARTITION.pack(start * SECTOR, sectors * SECTOR, number, b"", b""))
    fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _BLKPG, _ARGUMENT.pack(_RESIZE, 0, len(partition), partition.buffer_info()[0]))
    finally:
        os.close(fd)
