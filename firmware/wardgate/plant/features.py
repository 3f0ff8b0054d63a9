"""What the running kernel and the nft program can do, as far as the plant depends on it. A leaf."""

from __future__ import annotations

from typing import NamedTuple


class Features(NamedTuple):
    """True: there. The first five are needed; the others have an equivalent or are done without, and that is said."""

    nft_bridge: bool = False
    nft_inet: bool = False
    tproxy: bool = False
    policy_routing: bool = False
    transparent_sockets: bool = False
    broute: bool = False  # `meta broute set 1`: a frame leaves the bridge for the port's own protocol stack
    bridge_conntrack: bool = False
    vlan_devices: bool = False
    veth: bool = False
    limit_log: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what is needed and not there; the plant does not start then."""
        return tuple(name for name in self._fields[:5] if not getattr(self, name))


INSTEAD = {
    "broute": "`ether daddr set` to the bridge's address and `meta pkttype set host`: the frame goes up through the bridge device",
    "bridge_conntrack": "stateless pairs of rules: an answer is told by its source address and port, TCP also by its flags",
    "vlan_devices": "nothing: `vlan` cannot be used; tagged frames are refused and counted",
    "veth": "nothing: only the tests need it",
    "limit_log": "nothing: refused frames are counted and noted, but not in the kernel's log",
}


def lines(features: Features) -> list[str]:
    """Return the report for a person, one line a feature."""
    found = []
    for name, there in features._asdict().items():
        if there:
            found.append(f"{name:20} yes")
        elif name in INSTEAD:
            found.append(f"{name:20} NO   instead: {INSTEAD[name]}")
        else:
            found.append(f"{name:20} NO   needed: the plant cannot start")
    return found
