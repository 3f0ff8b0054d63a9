"""RAUC's boot loader back end (`bootloader-custom-backend`): `slots.py get-primary|set-primary|get-state|set-state ...`.

RAUC's own back end for GRUB calls grub-editenv, which truncates the file before it writes: a power cut between the two leaves the loader
without a memory. RAUC asks several times for each command, so nothing is imported that is not needed.
"""

from __future__ import annotations

import os
import sys

from wardgate.update import grubenv

PATH = "/efi/grubenv"


def read(path: str = PATH) -> grubenv.Memory:
    """Return the loader's memory. A block that is none counts as GRUB takes it. Raises `OSError`."""
    with open(path, "rb") as file:
        block = file.read(grubenv.SIZE + 1)
    try:
        return grubenv.parse(block)
    except grubenv.GrubenvError:
        return grubenv.UNREADABLE


def save(memory: grubenv.Memory, path: str = PATH) -> None:
    """Write the memory over itself, one sector that changes, and wait until it is on the disk. Raises `OSError`."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(fd, grubenv.write(memory), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def main(words: list[str], path: str = PATH) -> int:
    """Answer RAUC: 0 done, 1 not, 2 wrongly called."""
    try:
        match words:
            case ["get-primary"]:
                sys.stdout.write(read(path).primary() + "\n")
            case ["set-primary", name]:
                save(read(path).preferring(name), path)
            case ["get-state", name]:
                sys.stdout.write("good\n" if read(path).slot(name).good else "bad\n")
            case ["set-state", name, ("good" | "bad") as state]:
                save(read(path).marked(name, good=state == "good"), path)
            case _:
                sys.stderr.write("usage: slots.py get-primary | set-primary SLOT | get-state SLOT | set-state SLOT good|bad\n")
                return 2
    except (OSError, grubenv.GrubenvError) as error:
        sys.stderr.write(f"the loader's memory: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
