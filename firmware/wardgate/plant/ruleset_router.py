"""From policy to the rule set of the router: the box has addresses of its own, named DICOM is called there. Pure.

The table of the bridge is empty then; the kernel's connection tracking is at hand, so answers follow what was allowed.
"""

from __future__ import annotations

from collections.abc import Iterator

from wardgate.plant import manage
from wardgate.plant.allowing import allow_rules, counter
from wardgate.plant.features import Features
from wardgate.plant.flows import host, modality_addresses
from wardgate.plant.marks import MARK_ROUTED
from wardgate.plant.ruleset import SEEN_SIZE, SEEN_TIMEOUT, chain, clear, indented, note
from wardgate.plant.words import families, of_version
from wardgate.policy.model import Config, Party
from wardgate.policy.plant import Network, Side


def router_ruleset(config: Config, features: Features, glass: bool = False) -> str:
    """Return the whole rule set; it replaces the tables in one transaction."""
    head = ["table bridge wardgate", "delete table bridge wardgate", "table inet wardgate", "delete table inet wardgate"]
    return "\n".join([*head, "table bridge wardgate { }", "table inet wardgate {", *indented(_inet(config, features, glass)), "}", ""])


def _inet(config: Config, features: Features, glass: bool) -> list[str]:
    plant = config.plant
    names = ["dicom_modality", "dicom_hospital", "spoofed_address", "break_glass", "refused_modality", "refused_hospital", "refused_box"]
    lines = [f"counter {name} {{ }}" for name in [*names, *dict.fromkeys(f"allow_{counter(a.name)}" for a in plant.allow)]]
    for side in ("modality", "hospital"):
        for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
            lines += [
                f"set seen_{side}{family} {{ type {kind} . {kind} . inet_proto . inet_service; size {SEEN_SIZE};"
                f" flags dynamic, timeout; timeout {SEEN_TIMEOUT}; }}"
            ]
    verdict = "drop" if plant.enforce else "continue"
    lines += chain("prerouting", "priority mangle; policy accept", [*_guard(config, verdict), *_judged(config)])
    lines += chain("input", "priority filter; policy drop", [*_input(config), *manage.inet_input(plant), 'counter name "refused_box"'])
    lines += chain("forward", "priority filter; policy drop", [*_forward(config, features, glass)])
    lines += chain("output", "priority filter; policy drop", [*_output(config), *manage.inet_output(plant)])
    return lines


def _guard(config: Config, verdict: str) -> Iterator[str]:
    plant, modality = config.plant, modality_addresses(config)
    for version, family in ((4, "ip"), (6, "ip6")):
        own = of_version(modality, version)
        if own:
            yield f'iifname "{plant.outside}" {family} saddr {own} counter name "spoofed_address" {verdict}'
            if family == "ip":
                yield f'iifname "{plant.inside}" ip saddr != {own} counter name "spoofed_address" {verdict}'


def _judged(config: Config) -> Iterator[str]:
    """The base rule set of an image lets pass what has our mark: it is judged here."""
    yield f'iifname {{ "{config.plant.inside}", "{config.plant.outside}" }} meta mark set {MARK_ROUTED:#x}'


def _neighbours() -> str:
    return "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"


def _input(config: Config) -> Iterator[str]:
    yield 'iifname "lo" accept'
    yield "ct state established,related accept"
    yield _neighbours()
    for party, device, side in _parties(config):
        for endpoint in party.listen:
            for _, match in families(party.addresses, _there(endpoint.host, party.addresses)):
                yield f'iifname "{device}" {match} tcp dport {endpoint.port} counter name "dicom_{side}" accept'


def _output(config: Config) -> Iterator[str]:
    yield 'oifname "lo" accept'
    yield "ct state established,related accept"
    yield _neighbours()
    for party, device, side in _parties(config):
        target = party.connect
        if target is None:
            continue
        family = "ip6" if ":" in target.host else "ip"
        yield f'oifname "{device}" {family} daddr {target.host} tcp dport {target.port} counter name "dicom_{side}" accept'


def _there(text: str, like: tuple[Network, ...]) -> tuple[Network, ...]:
    """The address itself; for all addresses of the host, any."""
    from ipaddress import ip_network

    if text in ("0.0.0.0", "::"):  # noqa: S104
        return (ip_network("0.0.0.0/0" if text == "0.0.0.0" else "::/0"),)  # noqa: S104
    return (host(text),) if like else ()


def _parties(config: Config) -> Iterator[tuple[Party, str, Side]]:
    for link in config.links:
        yield link.modality, config.plant.inside, Side.MODALITY
        for peer in link.peers:
            yield peer, config.plant.outside, Side.HOSPITAL


def _forward(config: Config, features: Features, glass: bool) -> Iterator[str]:
    plant, modality = config.plant, modality_addresses(config)
    ports = (plant.inside, plant.outside)
    inside, outside = (f'iifname "{ports[0]}" oifname "{ports[1]}"', f'iifname "{ports[1]}" oifname "{ports[0]}"')
    if glass:
        yield from clear(plant.break_glass.addresses, modality, inside, outside, 'counter name "break_glass" accept')
    for entry in plant.allow:
        yield from allow_rules(entry, modality, ports, features, router=True)
    for side, here in (("modality", inside), ("hospital", outside)):
        yield from note(side, here)
        yield f'{here} counter name "refused_{side}"'
    if not plant.enforce:
        yield "accept"
    elif features.limit_log:
        yield f'limit rate {plant.log_per_second}/second burst {plant.log_per_second} packets log prefix "wardgate refused: "'
