"""`python -m flash IMAGE DEVICE` (`make flash IMAGE= DEVICE=`): writes an image to a disk, asks before, reads back after.

DEVICE is a name below /dev/disk/by-id: /dev/sdb may be another disk tomorrow.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flash.copy import UNREADABLE, Different, InUse, flash, is_disk, measured
from flash.disks import BY_ID, ids, read
from flash.guard import LARGEST, is_confirmed, refusals

_PAGE: Final = "docs/first-boot.md"
_AFTER: Final = "do not start a box from this disk before it was flashed again"


def main(words: Sequence[str]) -> int:
    """Return 0 written and the same, 1 refused or failed, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="make flash", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("device")
    parser.add_argument("--largest", type=int, default=LARGEST >> 30, help="GiB; a larger disk is not the one that is meant")
    parser.add_argument("--unsafe-allow-internal", action="store_true", help="also a disk that is not removable")
    options = parser.parse_args(words)
    for word, given in (("IMAGE=FILE", options.image), (f"DEVICE={BY_ID}/...", options.device)):
        if not given:
            return _no(f"{word} is needed ({_PAGE})", 2)
    try:
        return _ask_and_write(options, Path(options.image))
    except KeyboardInterrupt:
        return _no("interrupted; nothing was written")


def _ask_and_write(options: argparse.Namespace, image: Path) -> int:
    try:
        if not is_disk(image):
            return _no(f"{image} is no image of a disk: IMAGE= is a wardgate.img, or one packed as .gz or .xz; unpack others first")
        size, digest = measured(image)
    except UNREADABLE as error:
        return _no(f"{image} cannot be read whole: {error}")
    try:
        name = _name(options.device)
        disk = read(name)
    except (OSError, ValueError) as error:
        return _no(str(error))
    sys.stdout.write(f"{image}: {size} bytes, SHA-256 {digest}\n{disk.shown}\n")
    if found := refusals(disk, size, options.largest << 30, options.unsafe_allow_internal):
        return _no("not this disk:\n" + "\n".join(f"  - {reason}" for reason in found))
    if not os.access(f"/dev/{name}", os.W_OK):
        return _no(f"/dev/{name} may not be written to by you: run it as root")
    asked = "serial number" if disk.serial else "model" if disk.model else "name"
    sys.stdout.write(f"All data on it will be lost. Type its {asked} to go on: ")
    sys.stdout.flush()
    if not is_confirmed(disk, sys.stdin.readline()):
        return _no("that is another one; nothing was written")
    try:
        # The question may stand for long: under the same name there may be another disk by now, or somebody may use this one.
        if _name(options.device) != name or read(name) != disk:
            return _no("there is another disk now, or it was taken into use; nothing was written")
    except (OSError, ValueError) as error:
        return _no(f"{error}; nothing was written")
    try:
        flash(image, f"/dev/{name}", size, digest, _Progress(size))
    except InUse as error:
        return _no(f"{error}; nothing was written")
    except (*UNREADABLE, Different) as error:
        return _no(f"{error}; {_AFTER}")
    except KeyboardInterrupt:
        return _no(f"interrupted; {_AFTER}")
    sys.stdout.write(f"\nwritten and read back, the same: {digest}\nnext: {_PAGE}\n")
    return 0


def _name(device: str) -> str:
    """Return the kernel's name of a device given by a name that does not change. Raises `ValueError`."""
    if not stat.S_ISBLK(os.stat(device).st_mode):
        raise ValueError(f"{device} is no block device")
    name = os.path.basename(os.path.realpath(device))
    known = ids(name)
    if known and not device.startswith(f"{BY_ID}/"):
        raise ValueError(f"{device} may be another disk tomorrow; name it: {', '.join(known)}")
    return name


class _Progress:
    """At most four lines a second, on one line of the terminal."""

    def __init__(self, size: int) -> None:
        self._size, self._last = size, 0.0

    def __call__(self, what: str, done: int) -> None:
        now = time.monotonic()
        if done >= self._size or now - self._last > 0.25:
            self._last = now
            sys.stdout.write(f"\r{what} {done >> 20} of {self._size >> 20} MiB, {100 * done // max(self._size, 1)} %   ")
            sys.stdout.flush()


def _no(text: str, status: int = 1) -> int:
    sys.stderr.write(f"\nflash: {text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
