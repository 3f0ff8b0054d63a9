"""What the plant looks like, learned from the frames that pass: the modality's MAC, and the next hop of each address. Sans-IO.

Addresses are learned only when policy names them: nobody can fill the tables. From the modality's own packets the next hop is taken
as the modality chose it (the destination MAC of its SYN); from the hospital side as the sender of ARP and neighbour discovery. A SYN
from there teaches only what is not known yet: a flood in the PACS's name moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final, NamedTuple

from wardgate.plant.frames import Seen
from wardgate.policy.plant import MacRule, Network, Plant, Side

CHANGE_SECONDS: Final = 2.0  # an address does not move more often than that: two stations that fight over it stay visible
MAX_HOSTS: Final = 1024


class Change(NamedTuple):
    """Something new. `address` empty: a MAC of the modality; `old` empty: the first one."""

    side: Side
    address: str
    mac: str
    old: str = ""


class Stranger(NamedTuple):
    """A station that may not be where it is."""

    side: Side
    mac: str


class Learner:
    """Holds `stations` (MACs of the modality) and `hosts` (IP address to MAC)."""

    def __init__(self, plant: Plant, modality: Iterable[Network], peers: Iterable[Network]) -> None:
        self._plant = plant
        self._modality = tuple(modality)
        self._peers = tuple(peers)
        self._fixed = {neighbour.address: neighbour.mac for neighbour in plant.neighbours}
        self._moved: dict[str, float] = {}
        self.stations: tuple[str, ...] = plant.macs
        self.hosts: dict[str, str] = dict(self._fixed)

    def remember(self, stations: Iterable[str], hosts: dict[str, str]) -> None:
        """Take over what an earlier `netd` had learned."""
        if self._plant.mac is MacRule.LEARNED:
            self.stations = tuple(stations)
        for address, mac in hosts.items():
            if self._side(address) is not Side.OFF:
                self.hosts.setdefault(address, mac)

    def frame(self, side: Side, seen: Seen, now: float) -> list[Change | Stranger]:
        """Return what a frame that came in by the port of `side` changes."""
        if side is Side.MODALITY:
            return self._from_modality(seen, now)
        if seen.source_mac in self.stations:
            return [Stranger(side, seen.source_mac)]
        if (seen.neighbour or (seen.opens and seen.source not in self.hosts)) and self._side(seen.source) is Side.HOSPITAL:
            return self._host(Side.HOSPITAL, seen.source, seen.source_mac, now)
        return []

    def silent(self, side: Side, seen: Seen) -> bool:
        """Tell whether a frame calls the modality at an address of which the MAC is not known yet."""
        return side is Side.HOSPITAL and seen.opens and seen.destination not in self.hosts and self._side(seen.destination) is Side.MODALITY

    def _from_modality(self, seen: Seen, now: float) -> list[Change | Stranger]:
        found: list[Change | Stranger] = []
        mac = seen.source_mac
        if mac not in self.stations:
            if self._plant.mac is MacRule.BOUND or mac in self.hosts.values():
                return [Stranger(Side.MODALITY, mac)]
            if now < self._moved.get("", -CHANGE_SECONDS) + CHANGE_SECONDS:
                return []
            old = self.stations[0] if self.stations else ""
            self._moved[""] = now
            self.stations = (mac,)
            self.hosts = {address: known for address, known in self.hosts.items() if known != old}
            found.append(Change(Side.MODALITY, "", mac, old))
        if self._side(seen.source) is Side.MODALITY:
            found += self._host(Side.MODALITY, seen.source, mac, now)
        to_peer = seen.opens and self._side(seen.destination) is Side.HOSPITAL and not int(seen.destination_mac[:2], 16) & 1
        if to_peer and seen.destination_mac not in self.stations:
            found += self._host(Side.HOSPITAL, seen.destination, seen.destination_mac, now)
        return found

    def _host(self, side: Side, address: str, mac: str, now: float) -> list[Change | Stranger]:
        old = self.hosts.get(address, "")
        if old == mac or address in self._fixed:
            return []
        if old and now < self._moved.get(address, -CHANGE_SECONDS) + CHANGE_SECONDS:
            return []
        if not old and len(self.hosts) >= MAX_HOSTS:
            return []
        if old:
            self._moved[address] = now
        self.hosts[address] = mac
        return [Change(side, address, mac, old)]

    def _side(self, address: str) -> Side:
        if not address:
            return Side.OFF
        value = ip_address(address)
        for side, networks in ((Side.MODALITY, self._modality), (Side.HOSPITAL, self._peers)):
            if any(value.version == network.version and value in network for network in networks):
                return side
        return Side.OFF
