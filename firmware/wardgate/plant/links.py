"""Sets up the bridge, the routes and the kernel's switches. Everything is put in place before a port comes up.

Nothing here gives the box an address in the plant: routes say "by the bridge", neighbour entries come from `netd`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wardgate.plant.features import Features
from wardgate.plant.marks import (
    BRIDGE,
    BRIDGE_MAC,
    MARK_HOSPITAL,
    MARK_MASK,
    MARK_MODALITY,
    MARK_OURS,
    RULE_PREFERENCE,
    TABLE_HOSPITAL,
    TABLE_LOCAL,
    TABLE_MODALITY,
    TRUNK,
    TRUNK_MAC,
)
from wardgate.plant.programs import ProgramError, ip_batch, ip_json, run
from wardgate.policy.plant import Plant, Ports, Side

_EAPOL_BIT, _LLDP_BIT = 0x0008, 0x4000  # 01-80-C2-00-00-03 and -0E, IEEE 802.1Q Table 8-1
_NET = Path("/proc/sys/net")


def exists(device: str) -> bool:
    """Tell whether a network device is there."""
    return bool(ip_json("link", "show", "dev", device))


def ports_down(plant: Plant) -> None:
    """Take both ports down, unless they are in the bridge already (a `netd` before this one put them there)."""
    if plant.ports is Ports.BRIDGE and exists(BRIDGE):
        return
    ip_batch([f"link set dev {plant.modality_port} down", f"link set dev {plant.hospital_port} down"])


def set_up(plant: Plant, features: Features) -> None:
    """Make the bridge (or give the router its addresses), routes and switches, then put the ports up. Raises `ProgramError`."""
    bare, ports = (plant.modality_port, plant.hospital_port), (plant.inside, plant.outside)
    ip_batch(["link set dev lo up", *(f"link set dev {port} mtu {plant.mtu}" for port in bare)])
    if plant.vlan:
        _tagged(plant, bare, ports)
    if plant.ports is Ports.ROUTER:
        _router(plant)
        return
    mask = (_EAPOL_BIT if plant.eapol else 0) | (_LLDP_BIT if plant.lldp else 0)
    if not exists(BRIDGE):
        ip_batch([f"link add {BRIDGE} address {BRIDGE_MAC} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"])
    ip_batch([f"link set dev {BRIDGE} type bridge stp_state 0 group_fwd_mask {mask:#x}"])
    _switches(BRIDGE, ports, features)
    inward = (BRIDGE, *ports) if features.broute else (BRIDGE,)
    ip_batch([f"link set dev {BRIDGE} up"])
    for family in ("-4", "-6"):
        ip_batch(_without_old_rules(family), force=True, family=family)
        ip_batch(_routes(inward), family=family)
    if plant.management.side is not Side.OFF:
        ip_batch([f"address replace {plant.management.address} dev {BRIDGE}", f"link set dev {BRIDGE} up"])
        if plant.management.gateway:
            ip_batch([f"route replace default via {plant.management.gateway} dev {BRIDGE}"])
    ip_batch([f"link set dev {port} master {BRIDGE}" for port in ports])
    if plant.vlan:
        _join_bare(bare, mask, features)
    ip_batch([f"link set dev {device} up" for device in dict.fromkeys((BRIDGE, *bare, *ports))])  # a VLAN device after its port


def _tagged(plant: Plant, bare: Iterable[str], ports: Iterable[str]) -> None:
    """Make a VLAN device on each port: it gives frames of that VLAN without their tag, and puts it on what leaves (IEEE 802.1Q)."""
    for port, device in zip(bare, ports, strict=True):
        if not exists(device):
            ip_batch([f"link add link {port} name {device} type vlan id {plant.vlan}"])
        ip_batch([f"link set dev {device} mtu {plant.mtu}"])


def _join_bare(bare: Iterable[str], mask: int, features: Features) -> None:
    """A second bridge of the bare ports, for EAPOL and LLDP, which have no tag. The rule set lets nothing else through it."""
    if not exists(TRUNK):
        ip_batch([f"link add {TRUNK} address {TRUNK_MAC} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"])
    ip_batch([f"link set dev {TRUNK} type bridge stp_state 0 group_fwd_mask {mask:#x}"])
    _switches(TRUNK, bare, features)
    ip_batch([*(f"link set dev {port} master {TRUNK}" for port in bare), f"link set dev {TRUNK} up"])


def _routes(inward: Iterable[str]) -> Iterable[str]:
    """What came in with a mark is delivered here; what leaves with one goes by the bridge, every address a direct neighbour."""
    for device in inward:
        yield f"rule add pref {RULE_PREFERENCE} fwmark {MARK_OURS:#x}/{MARK_MASK:#x} iif {device} lookup {TABLE_LOCAL}"
    yield f"rule add pref {RULE_PREFERENCE + 1} fwmark {MARK_MODALITY:#x} iif lo lookup {TABLE_MODALITY}"
    yield f"rule add pref {RULE_PREFERENCE + 2} fwmark {MARK_HOSPITAL:#x} iif lo lookup {TABLE_HOSPITAL}"
    yield f"route replace local default dev lo table {TABLE_LOCAL}"
    for table in (TABLE_MODALITY, TABLE_HOSPITAL):
        yield f"route replace default dev {BRIDGE} table {table}"


def _without_old_rules(family: str) -> Iterable[str]:
    for row in ip_json(family, "rule", "show"):
        if RULE_PREFERENCE <= int(row.get("priority", 0)) <= RULE_PREFERENCE + 2:
            yield f"rule del pref {row['priority']}"


def _switches(bridge: str, ports: Iterable[str], features: Features) -> None:
    ports = tuple(ports)
    for device in ("all", "default", bridge, *ports):
        write(f"ipv4/conf/{device}/rp_filter", 0)
        write(f"ipv4/conf/{device}/arp_ignore", 1)
        write(f"ipv4/conf/{device}/send_redirects", 0)
        write(f"ipv4/conf/{device}/accept_redirects", 0)
        write(f"ipv6/conf/{device}/accept_redirects", 0)
    for device in (bridge, *ports):
        # No link-local address, no questions for routers, no reports of groups: the box is not there.
        write(f"ipv6/conf/{device}/addr_gen_mode", 1)
        write(f"ipv6/conf/{device}/accept_ra", 0)
        write(f"ipv6/conf/{device}/router_solicitations", 0)
    for port in ports:
        write(f"ipv6/conf/{port}/disable_ipv6", 0 if features.broute else 1)
    for name, value in (
        ("ipv4/ip_forward", 0),
        ("ipv4/ip_unprivileged_port_start", 0),  # `netd` binds port 104 in another's name without one more capability
        ("ipv4/tcp_fwmark_accept", 1),
        ("ipv4/fwmark_reflect", 1),
        ("ipv6/fwmark_reflect", 1),
        ("ipv4/tcp_syncookies", 1),
        ("ipv4/tcp_max_syn_backlog", 4096),
        ("ipv4/tcp_mtu_probing", 1),
        ("bridge/bridge-nf-call-iptables", 0),
        ("bridge/bridge-nf-call-ip6tables", 0),
        ("bridge/bridge-nf-call-arptables", 0),
    ):
        write(name, value)


def _router(plant: Plant) -> None:
    sides = ((plant.inside, plant.router.modality_addresses), (plant.outside, plant.router.hospital_addresses))
    for device, addresses in sides:
        write(f"ipv4/conf/{device}/rp_filter", 1)
        write(f"ipv4/conf/{device}/arp_ignore", 1)
        write(f"ipv6/conf/{device}/accept_ra", 0)
        ip_batch([f"address replace {address} dev {device}" for address in addresses])
    if plant.management.side is not Side.OFF:
        device = plant.inside if plant.management.side is Side.MODALITY else plant.outside
        ip_batch([f"address replace {plant.management.address} dev {device}"])
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        write(name, 1 if plant.allow else 0)
    write("ipv4/tcp_syncookies", 1)
    write("ipv4/ip_unprivileged_port_start", 0)  # neither gateway nor management has a capability
    ip_batch(
        [
            f"link set dev {device} up"
            for device in dict.fromkeys((plant.modality_port, plant.hospital_port, *(device for device, _ in sides)))
        ]
    )
    if plant.router.gateway:
        ip_batch([f"route replace default via {plant.router.gateway} dev {plant.outside}"])


def neighbours(known: dict[str, str]) -> None:
    """Make the kernel's neighbour entries on the bridge those of `known`, fixed."""
    ip_batch([f"neigh replace {address} lladdr {mac} dev {BRIDGE} nud permanent" for address, mac in sorted(known.items())])


def forget_neighbours(addresses: Iterable[str]) -> None:
    """Take entries out again."""
    ip_batch([f"neigh del {address} dev {BRIDGE}" for address in addresses], force=True)


def fix_station(macs: Iterable[str], port: str) -> None:
    """Tell the bridge on which port the modality is, so that nobody can draw its frames elsewhere."""
    for mac in macs:
        try:
            run(("bridge", "fdb", "replace", mac, "dev", port, "master", "static"))
        except ProgramError:
            pass  # it is also the port's own address, in a test bed of virtual devices


def write(name: str, value: int) -> None:
    """Write one of the kernel's switches; one that is not there is left alone."""
    try:
        (_NET / name).write_text(f"{value}\n")
    except OSError:
        pass


def carrier(device: str) -> bool | None:
    """Tell whether a device has a link; None when it is down or gone and cannot know."""
    rows = ip_json("link", "show", "dev", device)
    if not rows or "UP" not in rows[0].get("flags", []):
        return None
    return "NO-CARRIER" not in rows[0]["flags"] and "LOWER_UP" in rows[0]["flags"]
