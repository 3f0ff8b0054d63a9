"""The DICOM flows that a configuration names, as the packets of them arrive at the two ports. Pure.

Both directions of a flow are needed: the caller's packets to the address that it believes to call, and the answers to the leg that the
box opened in another's name. What may leave by a port is the mirror of what is taken there.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Config, Link
from wardgate.policy.plant import Network, Side

SAME_HOST = "*"


class Taken(NamedTuple):
    """TCP packets that arrive at port `side` and are for the box. One of the ports is 0: any. `listen`: they begin a connection."""

    side: Side
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    source_port: int = 0
    destination_port: int = 0
    listen: Endpoint | None = None


class Leg(NamedTuple):
    """A leg that the box may open: towards port `side`, in the name of `sources`, to one endpoint."""

    side: Side
    sources: tuple[Network, ...]
    target: Endpoint


def host(text: str) -> Network:
    """Return the network of one address."""
    return ip_network(ip_address(text))


def listens(config: Config) -> list[tuple[Endpoint, Side]]:
    """Return where the box stands in for another: the endpoint that is called, and the port from which it is called."""
    found: dict[Endpoint, Side] = {}
    for link in config.links:
        for endpoint in link.modality.listen:
            found[endpoint] = Side.MODALITY
        for peer in link.peers:
            for endpoint in peer.listen:
                found[endpoint] = Side.HOSPITAL
    return list(found.items())


def legs(config: Config) -> list[Leg]:
    """Return the legs that the box may open."""
    return list(dict.fromkeys(leg for link in config.links for leg in _legs(link)))


def _legs(link: Link) -> Iterator[Leg]:
    for peer in link.peers:
        if peer.connect is None:
            continue
        hosts = [endpoint.host for endpoint in link.modality.listen] if peer.connect.host == SAME_HOST else [peer.connect.host]
        for each in hosts:
            yield Leg(Side.HOSPITAL, link.modality.addresses, Endpoint(each, peer.connect.port))
    if link.modality.connect is not None:
        callers = tuple(network for peer in link.peers if peer.listen for network in peer.addresses)
        if callers:
            yield Leg(Side.MODALITY, callers, link.modality.connect)


def taken(config: Config) -> list[Taken]:
    """Return every flow that is turned from the bridge into the box."""
    found = []
    for link in config.links:
        for endpoint in link.modality.listen:
            found.append(
                Taken(Side.MODALITY, link.modality.addresses, (host(endpoint.host),), destination_port=endpoint.port, listen=endpoint)
            )
        for peer in link.peers:
            for endpoint in peer.listen:
                found.append(Taken(Side.HOSPITAL, peer.addresses, (host(endpoint.host),), destination_port=endpoint.port, listen=endpoint))
    for leg in legs(config):
        found.append(Taken(leg.side, (host(leg.target.host),), leg.sources, source_port=leg.target.port))
    return list(dict.fromkeys(found))


def modality_addresses(config: Config) -> tuple[Network, ...]:
    """Return the addresses of all modalities."""
    return tuple(dict.fromkeys(network for link in config.links for network in link.modality.addresses))
