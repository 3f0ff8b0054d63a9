"""The rules against a flood of SYNs to a port that the box takes. Pure.

Each that comes costs an answer of the box's (SYN cookies), and one of whoever's name it bears. So beginnings in a name that comes with
another MAC address than is known of it are few a second, and those with the known one bounded. Only the beginnings: what runs goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from wardgate.plant.flows import Taken
from wardgate.plant.words import families
from wardgate.policy.plant import Plant, Side

FLOOD_COUNTER: Final = "flood_hospital"
# A PACS opens some associations a second. One whose frames come by another router than the way back leads to has the first of the two.
UNKNOWN_PER_SECOND: Final = 100
KNOWN_PER_SECOND: Final = 1000


def known_sets(hosts: Mapping[str, str]) -> Iterator[str]:
    """Yield the sets of addresses with the MAC address that is known of each."""
    for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        pairs = sorted(f"{address} . {mac}" for address, mac in hosts.items() if (":" in address) == (family == "6"))
        elements = f" elements = {{ {', '.join(pairs)} }};" if pairs else ""
        yield f"set known{family} {{ type {kind} . ether_addr;{elements} }}"


def flood_rules(flows: Iterable[Taken], plant: Plant) -> Iterator[str]:
    """Yield the rules; they come before those that take a flow into the box."""
    for flow in flows:
        if flow.side is not Side.HOSPITAL or flow.listen is None:
            continue
        for family, match in families(flow.sources, flow.destinations):
            begins = f'iifname "{plant.outside}" {match} tcp dport {flow.destination_port} tcp flags & (syn | ack) == syn'
            pair = f"{family} saddr . ether saddr != @known{4 if family == 'ip' else 6}"
            for which, rate in ((f"{pair} ", UNKNOWN_PER_SECOND), ("", KNOWN_PER_SECOND)):
                yield f'{begins} {which}limit rate over {rate}/second burst {rate} packets counter name "{FLOOD_COUNTER}" drop'
