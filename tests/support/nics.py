"""The guest's network devices: two cables of two virtio devices each, and how a test in the guest cuts one."""

from __future__ import annotations

import json
from pathlib import Path

from support.netns import Namespace
from support.processes import run

# Name in QEMU: number of the cable, MAC address.
NICS = {
    "modality": (0, "02:00:5e:00:53:10"),
    "mod0": (0, "02:00:5e:00:53:11"),
    "hosp0": (1, "02:00:5e:00:53:12"),
    "switch": (1, "02:00:5e:00:53:13"),
}
_ENDS = {"modality": ("modality", "mod0"), "hospital": ("hosp0", "switch")}
_MONITOR = Path("/dev/ttyS2")


def cable(one: Namespace, device: str, other: Namespace, other_device: str) -> None:
    """Join the box and a station by a cable of virtio devices; `support.netns.wire` does so with virtual ones."""
    for place, name, nic in ((one, device, device), (other, other_device, "modality" if device == "mod0" else "switch")):
        links = json.loads(run(["ip", "-j", "link", "show"]).stdout)
        found = next(row["ifname"] for row in links if row.get("address") == NICS[nic][1])
        done = run(["ip", "link", "set", "dev", found, "netns", str(place.pid), "name", name])
        assert done.returncode == 0, done.stdout


def cut(side: str, whole: bool) -> None:
    """Cut the cable of a side, or make it whole: both its ends lose their carrier, as with copper."""
    for end in _ENDS[side]:
        with _MONITOR.open("w") as monitor:
            monitor.write(f"set_link {end} {'on' if whole else 'off'}\n")
