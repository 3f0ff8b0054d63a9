"""What one durable append costs on the disk of the run: what a lone sender waits for at each instance."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

_RECORD = b"x" * 700  # about the length of a store record


def fdatasync_median(folder: Path, count: int = 200) -> float:
    """Return microseconds for a write into preallocated room and its fdatasync."""
    path = folder / "fdatasync"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    taken = []
    try:
        os.posix_fallocate(fd, 0, count * len(_RECORD))
        os.fsync(fd)
        for _ in range(count):
            began = time.perf_counter()
            os.write(fd, _RECORD)
            os.fdatasync(fd)
            taken.append(1e6 * (time.perf_counter() - began))
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(taken)
