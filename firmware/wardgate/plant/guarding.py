"""Rules against those who pose as another: MAC, ARP, neighbour discovery, source addresses. Pure; each yields `match, counter name`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network, ip_address

from wardgate.plant.words import of_version
from wardgate.policy.plant import Network, Plant


def guard_rules(plant: Plant, modality: tuple[Network, ...]) -> Iterator[tuple[str, str]]:
    """Yield the matches of frames that no honest station sends, each with the counter that it counts in."""
    inside, outside = f'iifname "{plant.inside}"', f'iifname "{plant.outside}"'
    four, six = of_version(modality, 4), of_version(modality, 6)
    yield "ether type { vlan, 0x88a8 }", "tagged"
    yield f"{outside} ether saddr @station", "spoofed_mac"
    yield f"{inside} ether saddr != @station", "stranger"
    # ARP (RFC 826) for IPv4 over Ethernet only, the addresses in it those of the frame.
    yield "ether type arp arp htype != 1", "malformed_arp"
    yield "ether type arp arp ptype != ip", "malformed_arp"
    yield "ether type arp arp hlen != 6", "malformed_arp"
    yield "ether type arp arp plen != 4", "malformed_arp"
    yield "ether type arp arp operation != { request, reply }", "malformed_arp"
    yield f"{inside} ether type arp arp saddr ether != @station", "spoofed_arp"
    yield f"{outside} ether type arp arp saddr ether @station", "spoofed_arp"
    if four:
        yield f"{outside} ether type arp arp saddr ip {four}", "spoofed_arp"
        yield f"{inside} ether type arp arp saddr ip != 0.0.0.0 arp saddr ip != {four}", "spoofed_arp"
        yield f"{outside} ip saddr {four}", "spoofed_address"
    for neighbour in plant.neighbours:
        if ip_address(neighbour.address).version == 4:
            yield f"{outside} ether type arp arp saddr ip {neighbour.address} arp saddr ether != {neighbour.mac}", "spoofed_arp"
            yield f"{outside} ip saddr {neighbour.address} ether saddr != {neighbour.mac}", "spoofed_address"
        else:
            yield f"{outside} ip6 saddr {neighbour.address} ether saddr != {neighbour.mac}", "spoofed_address"
            target = f"0x{int(ip_address(neighbour.address)):032x}"
            yield f"{outside} icmpv6 type nd-neighbor-advert @th,64,128 {target} ether saddr != {neighbour.mac}", "spoofed_nd"
    if six:
        yield f"{outside} ip6 saddr {six}", "spoofed_address"
    for network in modality:
        if isinstance(network, IPv6Network) and network.num_addresses == 1:
            # RFC 4861 4.4: the target address lies 8 bytes into the advertisement.
            yield f"{outside} icmpv6 type nd-neighbor-advert @th,64,128 0x{int(network.network_address):032x}", "spoofed_nd"
    yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } ip6 hoplimit != 255", "spoofed_nd"
    yield f"{inside} icmpv6 type nd-router-advert", "spoofed_nd"
    yield "icmpv6 type nd-redirect", "icmp_redirect"
    yield "icmp type redirect", "icmp_redirect"


GUARD_COUNTERS = ("tagged", "spoofed_mac", "stranger", "malformed_arp", "spoofed_arp", "spoofed_address", "spoofed_nd", "icmp_redirect")
