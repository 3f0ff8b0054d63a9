"""`python -m flash IMAGE DEVICE` (`make flash IMAGE= DEVICE=`): writes an image to a disk, asks before, reads back after.

DEVICE is a name below /dev/disk/by-id: /dev/sdb may be another disk tomorrow.
"""

from __future__ import annotations

import argparse
import lzma
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flash.copy import Different, flash, measured
from flash.disks import BY_ID, ids, read
from flash.guard import LARGEST, is_confirmed, refusals


def main(words: Sequence[str]) -> int:
    """Return 0 written and the same, 1 refused or failed, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="make flash", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("device")
    parser.add_argument("--largest", type=int, default=LARGEST >> 30, help="GiB; a larger disk is not the one that is meant")
    parser.add_argument("--unsafe-allow-internal", action="store_true", help="also a disk that is not removable")
    options = parser.parse_args(words)
    try:
        size, digest = measured(options.image)
        name = _name(options.device)
        disk = read(name)
    except (OSError, ValueError, lzma.LZMAError, EOFError) as error:
        return _no(str(error))
    sys.stdout.write(f"{options.image}: {size} bytes, SHA-256 {digest}\n{disk.shown}\n")
    if found := refusals(disk, size, options.largest << 30, options.unsafe_allow_internal):
        return _no("not this disk:\n" + "\n".join(f"  - {reason}" for reason in found))
    asked = "serial number" if disk.serial else "model" if disk.model else "name"
    sys.stdout.write(f"All data on it will be lost. Type its {asked} to go on: ")
    sys.stdout.flush()
    if not is_confirmed(disk, sys.stdin.readline()):
        return _no("that is another one; nothing was written")
    try:
        flash(options.image, f"/dev/{name}", size, digest, _Progress(size))
    except (OSError, Different) as error:
        return _no(str(error))
    sys.stdout.write(f"\nwritten and read back, the same: {digest}\nnext: docs/first-boot.md\n")
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


def _no(text: str) -> int:
    sys.stderr.write(f"flash: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
