"""Cables between a machine in emulation and network namespaces: TAP devices. `Cables.cable` is what `support.plant.Plant` takes.

The namespace's end is the TAP device, under the name that the plant gives it; QEMU gets its descriptor.
"""

from __future__ import annotations

import fcntl
import os
import struct
from itertools import count

from support.netns import Namespace
from support.processes import run

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_numbers = count()


def missing() -> str | None:
    """Return why there can be none here, None when there can."""
    return None if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "/dev/net/tun cannot be used: no cable to a machine in emulation"


class Cables:
    """The descriptors for QEMU by the name that the box's port has in the plant. `close` ends the devices."""

    def __init__(self) -> None:
        self.fds: dict[str, int] = {}

    def cable(self, _box: Namespace, port: str, other: Namespace, device: str) -> None:
        """Make the cable from the box's `port` to `device` in the other namespace."""
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        self.fds[port] = fd
        made = f"wgt{os.getpid()}-{next(_numbers)}"[-15:]
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", made.encode(), _IFF_TAP | _IFF_NO_PI))
        done = run(["ip", "link", "set", "dev", made, "netns", str(other.pid), "name", device])
        assert done.returncode == 0, done.stdout

    def words(self) -> tuple[str, ...]:
        """Return a `-netdev` for each port, without its `id`."""
        return tuple(f"tap,fd={fd}" for fd in self.fds.values())

    def close(self) -> None:
        """Take the cables away."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()
