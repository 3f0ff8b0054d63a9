"""Network namespaces made for a run: one with loopback only, or three joined by two links of a given rate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import count

_numbers = count()


class Place(Enum):
    """Who stands where on the line: modality - box - hospital."""

    MODALITY = "m"
    BOX = "b"
    HOSPITAL = "h"


_ADDRESSES = {Place.MODALITY: "10.99.0.2", Place.BOX: "10.99.0.1", Place.HOSPITAL: "10.99.1.2"}
_BOX_HOSPITAL_SIDE = "10.99.1.1"


class Network:
    """Where programs run: `prefix` puts a command into its place. Ports are never used twice, and lie below the ephemeral ones."""

    def __init__(self, namespaces: dict[Place, str], addresses: dict[Place, str]) -> None:
        self._namespaces = namespaces
        self._addresses = addresses
        self._ports = count(12000)

    def prefix(self, place: Place) -> list[str]:
        """Return the words before a command that is to run at `place`."""
        return ["ip", "netns", "exec", self._namespaces[place]]

    def endpoint(self, place: Place) -> str:
        """Return an unused `address:port` at `place`."""
        return f"{self._addresses[place]}:{next(self._ports)}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


def _namespace(letter: str) -> str:
    name = f"wgbench{os.getpid()}{letter}{next(_numbers)}"
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _inside(name, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")  # a default of bbr paces even loopback
    return name


def _inside(name: str, *words: str) -> None:
    _ip("netns", "exec", name, *words)


@contextmanager
def loopback() -> Iterator[Network]:
    """One namespace; all places are 127.0.0.1."""
    name = _namespace("l")
    try:
        yield Network(dict.fromkeys(Place, name), dict.fromkeys(Place, "127.0.0.1"))
    finally:
        _ip("netns", "del", name)


@contextmanager
def line(rate: str = "1gbit") -> Iterator[Network]:
    """Three namespaces, two veth links of `rate` with MTU 1500, the box in the middle forwarding (for the path without a box)."""
    names: dict[Place, str] = {}
    try:
        for place in Place:
            names[place] = _namespace(place.value)
        _link(names[Place.MODALITY], names[Place.BOX], "a", (_ADDRESSES[Place.MODALITY], _ADDRESSES[Place.BOX]), rate)
        _link(names[Place.BOX], names[Place.HOSPITAL], "b", (_BOX_HOSPITAL_SIDE, _ADDRESSES[Place.HOSPITAL]), rate)
        _ip("-n", names[Place.MODALITY], "route", "add", _net(_ADDRESSES[Place.HOSPITAL]), "via", _ADDRESSES[Place.BOX])
        _ip("-n", names[Place.HOSPITAL], "route", "add", _net(_ADDRESSES[Place.MODALITY]), "via", _BOX_HOSPITAL_SIDE)
        _inside(names[Place.BOX], "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield Network(names, _ADDRESSES)
    finally:
        for name in names.values():
            _ip("netns", "del", name)


def _net(address: str) -> str:
    """Routes to the other link only: with a default route DCMTK's reverse look-ups would wait for a DNS server."""
    return f"{address.rpartition('.')[0]}.0/24"


def _link(left: str, right: str, letter: str, addresses: tuple[str, str], rate: str) -> None:
    devices = (f"{letter}0", f"{letter}1")
    _ip("-n", left, "link", "add", devices[0], "mtu", "1500", "type", "veth", "peer", "name", devices[1], "mtu", "1500", "netns", right)
    for name, device, address in zip((left, right), devices, addresses, strict=True):
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
        _ip("-n", name, "link", "set", device, "up")
        _inside(name, "tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "256kb", "latency", "20ms")
