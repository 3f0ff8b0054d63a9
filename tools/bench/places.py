"""Where the bench keeps things, and which processors it uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Places(NamedTuple):
    """Folders of one run, all under `base`, which is kept between runs."""

    base: Path

    @property
    def bin(self) -> Path:
        """The built rig."""
        return self.base / "bin"

    @property
    def certificates(self) -> Path:
        """CA, server and client, ECDSA P-256."""
        return self.base / "certificates"

    @property
    def data(self) -> Path:
        """Generated DICOM files."""
        return self.base / "data"

    @property
    def work(self) -> Path:
        """Folders of single measurements; on the disk whose `fdatasync` counts."""
        return self.base / "w"


class Cores(NamedTuple):
    """Processors given to the rig and to the gateway, as `taskset` lists."""

    rig: str
    gateway: str


def one_core() -> Cores:
    """The gateway alone on one processor, the rig on the others (on the same when there is no other)."""
    first, *others = [str(number) for number in sorted(os.sched_getaffinity(0))]
    return Cores(",".join([first, *others[1:]]), others[0] if others else first)


def two_cores() -> Cores:
    """Two processors for the gateway: its own where there are four, otherwise shared with the rig."""
    usable = [str(number) for number in sorted(os.sched_getaffinity(0))]
    if len(usable) >= 4:
        return Cores(",".join([usable[0], *usable[3:]]), ",".join(usable[1:3]))
    return Cores(",".join(usable), ",".join(usable))
