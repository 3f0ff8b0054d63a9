"""Why a disk is not written to. Sans-IO."""

from __future__ import annotations

from typing import Final

from flash.disks import Disk

LARGEST: Final = 256 << 30  # a card or a stick for a box is smaller; the disk of a workstation is not


def refusals(disk: Disk, image_size: int, largest: int = LARGEST, unsafe_allow_internal: bool = False) -> list[str]:
    """Return every reason against writing an image of `image_size` bytes to `disk`; none: it may be done, once a person has said so."""
    found = []
    if disk.is_partition:
        found.append("it is a partition; name the whole disk")
    if disk.mounted:
        found.append(f"it is mounted: {', '.join(disk.mounted[:5])}")
    if disk.swaps:
        found.append(f"it holds swap: {', '.join(disk.swaps)}")
    if disk.held_by:
        found.append(f"it is in use by {', '.join(disk.held_by[:5])}")
    if disk.is_read_only:
        found.append("it is write-protected")
    if not disk.is_removable and not unsafe_allow_internal:
        found.append("it is not removable (UNSAFE_ALLOW_INTERNAL=1 when it is really the one)")
    if disk.size < image_size:
        found.append(f"it has {disk.size} bytes, the image {image_size}")
    if disk.size > largest:
        found.append(f"it has {disk.size / 2**30:.0f} GiB, more than {largest / 2**30:.0f} (LARGEST= when it is really the one)")
    return found


def is_confirmed(disk: Disk, typed: str) -> bool:
    """Did the person type what stands on the disk: its serial number, or its model when it has none?"""
    wanted = disk.serial or disk.model or disk.name
    return typed.strip() == wanted
