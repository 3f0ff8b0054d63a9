"""What the kernel says of a disk: sysfs, the mount table, swap. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

BY_ID: Final = Path("/dev/disk/by-id")
_SECTOR: Final = 512  # sysfs counts in these, whatever the disk has


class System(NamedTuple):
    """Where to look; tests give others."""

    block: Path = Path("/sys/class/block")
    mounts: Path = Path("/proc/self/mountinfo")
    swaps: Path = Path("/proc/swaps")


class Disk(NamedTuple):
    """One disk. `size` in bytes; `is_removable`: a stick or a card, not eMMC;
    `mounted`: places where it or a part of it is mounted; `held_by`: device mapper or RAID on it."""

    name: str
    size: int
    model: str
    serial: str
    is_partition: bool
    is_removable: bool
    is_read_only: bool
    mounted: tuple[str, ...]
    swaps: tuple[str, ...]
    held_by: tuple[str, ...]

    @property
    def shown(self) -> str:
        """For a person."""
        return f"{self.name}: {self.model or 'no model'}, serial {self.serial or 'none'}, {self.size / 1e9:.1f} GB"


def read(name: str, system: System = System()) -> Disk:  # noqa: B008 - a value that does not change
    """Return what is known of the block device `name` (`sdb`). Raises `OSError` when there is none."""
    folder = system.block / name
    size = int((folder / "size").read_text()) * _SECTOR
    parts = [name, *(path.parent.name for path in folder.glob("*/partition"))]
    numbers = {(system.block / part / "dev").read_text().strip() for part in parts if (system.block / part / "dev").exists()}
    transport = os.path.realpath(folder)
    return Disk(
        name,
        size,
        " ".join(filter(None, (_word(folder / "device/vendor"), _word(folder / "device/model") or _word(folder / "device/name")))),
        _word(folder / "device/serial") or _word(folder / "serial") or _usb_serial(Path(transport)),
        (folder / "partition").exists(),
        _word(folder / "removable") == "1" or "/usb" in transport or ("/mmc_host/" in transport and _word(folder / "device/type") != "MMC"),
        _word(folder / "ro") == "1",
        tuple(_mounted(system.mounts, numbers, parts)),
        tuple(_swaps(system.swaps, parts)),
        tuple(sorted(path.name for part in parts for path in (system.block / part / "holders").glob("*"))),
    )


def ids(name: str, by_id: Path = BY_ID) -> list[str]:
    """Return the names below /dev/disk/by-id that lead to a disk: those do not change when another one is plugged in."""
    try:
        return sorted(str(path) for path in by_id.iterdir() if os.path.basename(os.path.realpath(path)) == name)
    except OSError:
        return []


def _usb_serial(folder: Path) -> str:
    """Of the device that was plugged in: the SCSI disk that the kernel makes of a stick says none. The hub above it is another device."""
    return next((_word(above / "serial") for above in folder.parents if (above / "idVendor").exists()), "")


def _word(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _mounted(table: Path, numbers: set[str], parts: list[str]) -> Iterator[str]:
    """proc(5), mountinfo: field 3 is the device's number, 5 the place, the one before last behind the dash the source."""
    for line in table.read_text(errors="replace").splitlines():
        fields = line.split(" ")
        source = fields[fields.index("-") + 2] if "-" in fields else ""
        if fields[2] in numbers or os.path.basename(source) in parts:
            yield fields[4]


def _swaps(table: Path, parts: list[str]) -> Iterator[str]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    yield from (line.split()[0] for line in lines if os.path.basename(line.split()[0]) in parts)
