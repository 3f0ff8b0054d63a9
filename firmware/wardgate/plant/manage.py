"""The rules of the box's own address: who may call it, what it may call. Off by default: then there are none. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from wardgate.plant.flows import host
from wardgate.plant.words import families
from wardgate.policy.plant import Plant, Ports, Side


def bridge_input(plant: Plant) -> Iterator[str]:
    """Frames to the box."""
    if plant.management.side is Side.OFF:
        return
    here = f'iifname "{_port(plant)}"'
    own = ip_interface(plant.management.address).ip
    if own.version == 4:
        yield f"{here} ether type arp arp daddr ip {own} accept"
    else:
        yield f"{here} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept"
    yield from (f"{here} {rule}" for rule in _to_box(plant))


def bridge_output(plant: Plant) -> Iterator[str]:
    """Frames of the box."""
    if plant.management.side is Side.OFF:
        return
    here = f'oifname "{_port(plant)}"'
    own = ip_interface(plant.management.address).ip
    if own.version == 4:
        yield f"{here} ether type arp arp saddr ip {own} accept"
    else:
        yield f"{here} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept"
    yield from (f"{here} {rule}" for rule in _from_box(plant))


def inet_input(plant: Plant) -> Iterator[str]:
    """Packets to the box."""
    if plant.management.side is not Side.OFF:
        if ":" in plant.management.address:
            yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
        yield from (f"{_here(plant, 'iifname')}{rule}" for rule in _to_box(plant))


def inet_output(plant: Plant) -> Iterator[str]:
    """Packets of the box."""
    if plant.management.side is not Side.OFF:
        if ":" in plant.management.address:
            yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
        yield from (f"{_here(plant, 'oifname')}{rule}" for rule in _from_box(plant))


def _here(plant: Plant, way: str) -> str:
    """In the router only the named port; in the bridge that is the bridge table's to judge."""
    return f'{way} "{_port(plant)}" ' if plant.ports is Ports.ROUTER else ""


def _port(plant: Plant) -> str:
    return plant.inside if plant.management.side is Side.MODALITY else plant.outside


def _to_box(plant: Plant) -> Iterator[str]:
    management = plant.management
    own = (host(str(ip_interface(management.address).ip)),)
    for _, match in families(management.sources, own):
        yield f"{match} tcp dport {management.port} accept"
    for endpoint in management.reach:
        for _, match in families((host(endpoint.host),), own):
            yield f"{match} tcp sport {endpoint.port} tcp flags & (syn | ack) != syn accept"
            yield f"{match} udp sport {endpoint.port} accept"


def _from_box(plant: Plant) -> Iterator[str]:
    management = plant.management
    own = (host(str(ip_interface(management.address).ip)),)
    for _, match in families(own, management.sources):
        yield f"{match} tcp sport {management.port} tcp flags & (syn | ack) != syn accept"
    for endpoint in management.reach:
        for _, match in families(own, (host(endpoint.host),)):
            yield f"{match} meta l4proto {{ tcp, udp }} th dport {endpoint.port} accept"
