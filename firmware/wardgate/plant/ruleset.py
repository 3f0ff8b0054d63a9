"""From policy to the rule set of the bridge: nft text, two tables, default deny. Pure: the same input gives the same text.

The order of the bridge's prerouting: who poses as another is dropped; named DICOM is turned into the box; all else goes on to be
forwarded, where the allow list decides and the rest is counted, noted and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wardgate.plant import manage
from wardgate.plant.allowing import allow_rules, counter
from wardgate.plant.features import Features
from wardgate.plant.flooding import FLOOD_COUNTER, flood_rules, known_sets
from wardgate.plant.flows import Taken, modality_addresses, taken
from wardgate.plant.guarding import GUARD_COUNTERS, guard_rules
from wardgate.plant.marks import BRIDGE_MAC, MARK_HOSPITAL, MARK_MASK, MARK_MODALITY, MARK_OURS
from wardgate.plant.words import families, one_of
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Config
from wardgate.policy.plant import MacRule, Plant, Side

SEEN_SIZE = 4096
SEEN_TIMEOUT = "7d"
OURS = f"meta mark & {MARK_MASK:#x} == {MARK_OURS:#x}"


class Known(NamedTuple):
    """What has been learned: MAC addresses of the modality, MAC of the next hop for each IP address."""

    stations: tuple[str, ...] = ()
    hosts: Mapping[str, str] = {}


def bridge_ruleset(config: Config, features: Features, known: Known, glass: bool = False) -> str:
    """Return the whole rule set; `glass`: while the break-glass lasts. It replaces the tables in one transaction."""
    flows = taken(config)
    if glass:
        clear = set(config.plant.break_glass.addresses)
        flows = [flow for flow in flows if flow.listen not in clear]
    if not config.plant.enforce:
        flows = []
    return "\n".join(
        [
            "table bridge wardgate",
            "delete table bridge wardgate",
            "table inet wardgate",
            "delete table inet wardgate",
            "table bridge wardgate {",
            *indented(_bridge(config, features, known, flows, glass)),
            "}",
            "table inet wardgate {",
            *indented(_inet(config.plant, flows)),
            "}",
            "",
        ]
    )


def _bridge(config: Config, features: Features, known: Known, flows: list[Taken], glass: bool) -> list[str]:
    plant = config.plant
    modality = modality_addresses(config)
    stations = plant.macs if plant.mac is MacRule.BOUND else known.stations
    hosts = {**known.hosts, **{n.address: n.mac for n in plant.neighbours}}
    names = [
        *GUARD_COUNTERS,
        "dicom_modality",
        "dicom_hospital",
        "break_glass",
        FLOOD_COUNTER,
        "refused_modality",
        "refused_hospital",
        "not_ours",
    ]
    names += ["refused_trunk"] if plant.vlan else []
    lines = [f"counter {name} {{ }}" for name in [*names, *dict.fromkeys(f"allow_{counter(a.name)}" for a in plant.allow)]]
    lines += [_set("set station", "ether_addr", stations), *_maps(hosts), *known_sets(hosts)]
    for side in ("modality", "hospital"):
        for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
            lines += [
                f"set seen_{side}{family} {{ type {kind} . {kind} . inet_proto . inet_service; size {SEEN_SIZE};"
                f" flags dynamic, timeout; timeout {SEEN_TIMEOUT}; }}"
            ]
    verdict = "drop" if plant.enforce else "continue"
    lines += chain("prerouting", "priority dstnat; policy accept", [
        *(f'{match} counter name "{name}" {verdict}' for match, name in guard_rules(plant, modality)),
        *flood_rules(flows, plant),
        *dict.fromkeys(rule for flow in flows for rule in _take(flow, plant)),
        *_errors(flows, plant),
    ])  # fmt: skip
    for side, mark in (("modality", MARK_MODALITY), ("hospital", MARK_HOSPITAL)):
        turn = "meta broute set 1" if features.broute else f"ether daddr set {BRIDGE_MAC}"
        lines += chain(
            f"take_{side}", "", [f'counter name "dicom_{side}"', f"meta mark set {mark:#x}", f"meta pkttype set host {turn} accept"]
        )
    lines += chain("input", "priority filter; policy drop", [f"{OURS} accept", *manage.bridge_input(plant)])
    lines += chain("forward", "priority filter; policy drop", _forward(config, features, glass))
    lines += chain(
        "output", "priority filter; policy drop", [*_leave(flows, plant), *manage.bridge_output(plant), 'counter name "not_ours"']
    )
    return lines


def _set(title: str, kind: str, values: Iterable[str]) -> str:
    texts = sorted(values)
    elements = f" elements = {{ {', '.join(texts)} }};" if texts else ""
    return f"{title} {{ type {kind};{elements} }}"


def _maps(hosts: Mapping[str, str]) -> list[str]:
    four = [f"{address} : {mac}" for address, mac in hosts.items() if ":" not in address]
    six = [f"{address} : {mac}" for address, mac in hosts.items() if ":" in address]
    return [_set("map hosts4", "ipv4_addr : ether_addr", four), _set("map hosts6", "ipv6_addr : ether_addr", six)]


def chain(name: str, hook: str, rules: Iterable[str]) -> list[str]:
    """Return a chain. The kernel gives a new one its policy a moment after its rules begin to count: the last rule says it too."""
    head = [f"type filter hook {name} {hook};"] if hook else []
    last = ["drop"] if hook.endswith("policy drop") else []
    return [f"chain {name} {{", *(f"\t{rule}" for rule in [*head, *rules, *last]), "}"]


def _device(plant: Plant, side: Side) -> str:
    return plant.inside if side is Side.MODALITY else plant.outside


def _take(flow: Taken, plant: Plant) -> Iterable[str]:
    """Turn a flow into the box; its fragments too, which have no ports: the protocol stack puts them together."""
    ports = (f"tcp sport {flow.source_port} " if flow.source_port else "") + (
        f"tcp dport {flow.destination_port} " if flow.destination_port else ""
    )
    for family, match in families(flow.sources, flow.destinations):
        here = f'iifname "{_device(plant, flow.side)}" {match}'
        if family == "ip":
            yield f"{here} ip protocol tcp ip frag-off & 0x3fff != 0 jump take_{flow.side}"
        else:
            yield f"{here} exthdr frag exists jump take_{flow.side}"
        yield f"{here} {ports}jump take_{flow.side}"


def _errors(flows: list[Taken], plant: Plant) -> Iterable[str]:
    """ICMP errors about legs that the box opened are for the box: path MTU discovery needs them (RFC 1191, RFC 8201)."""
    ports = one_of(sorted({flow.source_port for flow in flows if flow.source_port and flow.side is Side.HOSPITAL}))
    if not ports:
        return
    outside = f'iifname "{plant.outside}"'
    # Offsets in bits from the ICMP header: 8 bytes of it, the IP header that it quotes (no options), then source and destination port.
    yield f"{outside} icmp type destination-unreachable @th,136,8 6 @th,240,16 {ports} jump take_hospital"
    yield f"{outside} icmpv6 type {{ destination-unreachable, packet-too-big }} @th,112,8 6 @th,400,16 {ports} jump take_hospital"


def _leave(flows: list[Taken], plant: Plant) -> list[str]:
    """What the box sends is the mirror of what it takes, with the MAC address of whom it stands in for."""
    rules = []
    for side, mark in ((Side.MODALITY, MARK_MODALITY), (Side.HOSPITAL, MARK_HOSPITAL)):
        here = f'oifname "{_device(plant, side)}" meta mark {mark:#x}'
        rules += [f"{here} ether saddr set ip saddr map @hosts4", f"{here} ether saddr set ip6 saddr map @hosts6"]
        rules += [f"{here} ether saddr {BRIDGE_MAC} drop"]
        for flow in (flow for flow in flows if flow.side is side):
            ports = (f"tcp sport {flow.destination_port} " if flow.destination_port else "") + (
                f"tcp dport {flow.source_port} " if flow.source_port else ""
            )
            rules += [f"{here} {match} {ports}accept" for _, match in families(flow.destinations, flow.sources)]
    return list(dict.fromkeys(rules))


def _forward(config: Config, features: Features, glass: bool) -> Iterable[str]:
    plant, modality = config.plant, modality_addresses(config)
    ports = (plant.inside, plant.outside)
    inside, outside = (f'iifname "{ports[0]}" oifname "{ports[1]}"', f'iifname "{ports[1]}" oifname "{ports[0]}"')
    if plant.vlan:
        yield from _trunk(plant)
    yield "ether type arp accept"
    yield f"ether type 0x888e {'accept' if plant.eapol else 'drop'}"  # IEEE 802.1X
    yield f"ether type 0x88cc {'accept' if plant.lldp else 'drop'}"  # IEEE 802.1AB
    yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
    yield f"{inside} icmpv6 type {{ nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report }} accept"
    yield f"{outside} icmpv6 type {{ nd-router-advert, mld-listener-query }} accept"
    if glass:
        yield from clear(plant.break_glass.addresses, modality, inside, outside, 'counter name "break_glass" accept')
    if not plant.enforce:  # what would be taken is bridged, and not noted: policy names it
        for flow in taken(config):
            words = (f"tcp sport {flow.source_port} " if flow.source_port else "") + (
                f"tcp dport {flow.destination_port} " if flow.destination_port else ""
            )
            for _, match in families(flow.sources, flow.destinations):
                yield f'iifname "{_device(plant, flow.side)}" {match} {words}counter name "dicom_{flow.side}" accept'
    for entry in plant.allow:
        yield from allow_rules(entry, modality, ports, features)
    for side, here in (("modality", inside), ("hospital", outside)):
        yield from note(side, here)
        yield f'{here} counter name "refused_{side}"'
    yield (
        f'limit rate {plant.log_per_second}/second burst {plant.log_per_second} packets log prefix "wardgate refused: "'
        if (features.limit_log and plant.enforce)
        else "continue"
    )
    if not plant.enforce:
        yield "accept"


def _trunk(plant: Plant) -> Iterable[str]:
    """What comes without a tag, or with another VLAN's: link-local frames by policy, nothing else. Those of the VLAN never come here."""
    trunk = f'iifname {{ "{plant.modality_port}", "{plant.hospital_port}" }}'
    yield f"{trunk} ether type 0x888e {'accept' if plant.eapol else 'drop'}"  # IEEE 802.1X
    yield f"{trunk} ether type 0x88cc {'accept' if plant.lldp else 'drop'}"  # IEEE 802.1AB
    yield f'{trunk} counter name "refused_trunk" {"drop" if plant.enforce else "accept"}'


def note(side: str, here: str) -> Iterable[str]:
    """Remember who wanted what: the beginnings of TCP connections, and UDP that is no answer to a low port."""
    for family, kind in (("4", "ip"), ("6", "ip6")):
        element = f"{kind} saddr . {kind} daddr . meta l4proto . th dport"
        yield f"{here} tcp flags & (syn | ack) == syn update @seen_{side}{family} {{ {element} }}"
        for match in ("udp dport 1-1023", "udp sport 1024-65535 udp dport 1024-65535"):
            yield f"{here} {match} update @seen_{side}{family} {{ {element} }}"


def clear(endpoints: tuple[Endpoint, ...], modality: Iterable[object], inside: str, outside: str, verdict: str) -> Iterable[str]:
    from wardgate.plant.flows import host

    networks = tuple(modality)
    for endpoint in endpoints:
        there = (host(endpoint.host),)
        for _, match in families(networks, there):  # type: ignore[arg-type]
            yield f"{inside} {match} tcp dport {endpoint.port} {verdict}"
        for _, match in families(there, networks):  # type: ignore[arg-type]
            yield f"{outside} {match} tcp sport {endpoint.port} tcp flags & (syn | ack) != syn {verdict}"


def _inet(plant: Plant, flows: list[Taken]) -> list[str]:
    redirects = []
    for flow in flows:
        if flow.listen is None:
            continue
        mark = MARK_MODALITY if flow.side is Side.MODALITY else MARK_HOSPITAL
        family, target = ("ip6", f"[{flow.listen.host}]") if ":" in flow.listen.host else ("ip", flow.listen.host)
        redirects.append(
            f"meta mark {mark:#x} {family} daddr {flow.listen.host} tcp dport {flow.listen.port}"
            f" tproxy {family} to {target}:{flow.listen.port} accept"
        )
    lines = chain("prerouting", "priority mangle; policy accept", list(dict.fromkeys(redirects)))
    lines += chain("input", "priority filter; policy drop", ['iifname "lo" accept', f"{OURS} accept", *manage.inet_input(plant)])
    lines += chain("forward", "priority filter; policy drop", [])
    lines += chain("output", "priority filter; policy drop", ['oifname "lo" accept', f"{OURS} accept", *manage.inet_output(plant)])
    return lines


def indented(lines: Iterable[str]) -> Iterable[str]:
    return (f"\t{line}" for line in lines)
