"""Is there room for one more instance? Asked before its first byte is taken, and again as it grows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

STEP_BYTES: Final = 16 << 20  # reserved at the C-STORE-RQ, and again each time an instance has used it up
SURE_BYTES: Final = 64 * STEP_BYTES  # promised at most without asking the file system again


def free_bytes(directory: str) -> int:
    """Return what the file system has left for us."""
    info = os.statvfs(directory)
    return info.f_bavail * info.f_frsize


class Space:
    """What this process may still write. `held()` gives the bytes in the queue, `free()` those free on the disk."""

    def __init__(self, max_bytes: int, keep_free_bytes: int, held: Callable[[], int], free: Callable[[], int]) -> None:
        self._max_bytes = max_bytes
        self._keep_free = keep_free_bytes
        self._held = held
        self._free = free
        self.promised = 0  # reserved by this process and not yet written
        self._known = 0  # free bytes that can be promised before the file system is asked again

    def room(self, size: int = STEP_BYTES) -> bool:
        """Could `size` bytes be promised now?"""
        if self._max_bytes and self._held() + self.promised + size > self._max_bytes:
            return False
        if self._known < size:
            self._known = min(self._free() - self.promised - self._keep_free, SURE_BYTES)
        return self._known >= size

    def look_again(self) -> None:
        """Others write to the disk too: ask the file system the next time."""
        self._known = 0

    def reserve(self, size: int = STEP_BYTES) -> bool:
        """Promise `size` bytes; false when there is no room."""
        if not self.room(size):
            return False
        self.promised += size
        self._known -= size
        return True

    def used(self, size: int) -> None:
        """`size` bytes of the promise were written, or are not wanted any more."""
        self.promised = max(0, self.promised - size)
