"""The table in which workers count connections together (`relay.census`): the master makes it, gives its parts out and wipes them."""

from __future__ import annotations

import os

PARTS = 64
PART_BYTES = 24576
HEAD_BYTES = 16  # in front of the parts: how many of them were ever given out, u32 little-endian
TABLE_BYTES = HEAD_BYTES + PARTS * PART_BYTES


class Parts:
    """Parts are taken by workers that start and given back when they have ended, however that was."""

    def __init__(self) -> None:
        """Make the table. Raises `OSError`."""
        self.fd = os.memfd_create("wardgate-census", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, TABLE_BYTES)
        self._free = list(range(PARTS - 1, -1, -1))
        self._given = 0

    def take(self) -> int:
        """Return a part that nobody has, -1 when there is none: such a worker counts for itself."""
        if not self._free:
            return -1
        part = self._free.pop()
        if part >= self._given:
            self._given = part + 1
            os.pwrite(self.fd, self._given.to_bytes(4, "little"), 0)
        return part

    def give_back(self, part: int) -> None:
        """The worker with `part` has ended: nothing of it counts any more."""
        if part >= 0:
            os.pwrite(self.fd, bytes(PART_BYTES), HEAD_BYTES + part * PART_BYTES)
            self._free.append(part)

    def close(self) -> None:
        """Close the table; workers that have it keep it."""
        os.close(self.fd)
