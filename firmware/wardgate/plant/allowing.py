"""The rules of the allow list: what passes the bridge beside DICOM. Pure.

Without connection tracking an answer is told by the server's address and port; for TCP it may not begin a connection, for UDP it may
not go to a port below 1024 but the client's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from wardgate.plant.features import Features
from wardgate.plant.words import families, of_version, one_of, when
from wardgate.policy.plant import Allow, Network, Way
from wardgate.policy.plant_words import SERVICES

_NOT_OPENING = "tcp flags & (syn | ack) != syn"
_CLIENT_PORTS = {"ntp": "{ 123, 1024-65535 }"}


def allow_rules(
    entry: Allow, modality: tuple[Network, ...], ports: tuple[str, str], features: Features, router: bool = False
) -> Iterator[str]:
    """Yield the rules of one entry; `ports` are the devices of the modality and of the hospital."""
    inside, outside = ports
    out = f'iifname "{inside}" oifname "{outside}"'
    back = f'iifname "{outside}" oifname "{inside}"'
    name = f'counter name "allow_{counter(entry.name)}" accept'
    time = when(entry.hours, entry.days)
    if entry.service == "dhcp":
        if not router:
            yield from _dhcp(entry, modality, out, back, time, name)
        return
    if entry.way is Way.TO_MODALITY:
        out, back = back, out
    clients, servers = (modality, entry.addresses) if entry.way is Way.FROM_MODALITY else (entry.addresses, modality)
    established = "ct state established " if features.bridge_conntrack or router else ""
    protocol, known = SERVICES[entry.service]
    for family, match in families(clients, servers):
        answer = next(text for kind, text in families(servers, clients) if kind == family)
        if protocol == "icmp":
            kind = "icmp" if family == "ip" else "icmpv6"
            yield f"{out} {match} {kind} type echo-request {time}{name}"
            yield f"{back} {answer} {kind} type echo-reply {established}{time}{name}"
            continue
        wanted = one_of(entry.ports or [port for port in known if port < 546])
        for each in protocol.split("+"):
            yield f"{out} {match} {each} dport {wanted} {time}{name}"
            if each == "tcp":
                yield f"{back} {answer} tcp sport {wanted} {_NOT_OPENING} {established}{time}{name}"
            elif entry.service != "syslog":
                clients_ports = _CLIENT_PORTS.get(entry.service, "1024-65535")
                yield f"{back} {answer} udp sport {wanted} udp dport {clients_ports} {established}{time}{name}"


def _dhcp(entry: Allow, modality: tuple[Network, ...], out: str, back: str, time: str, name: str) -> Iterator[str]:
    """Only the servers named may answer."""
    four, six = of_version(entry.addresses, 4), of_version(entry.addresses, 6)
    if four:
        yield f"{out} ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 {time}{name}"
        for _, match in families(modality, entry.addresses):
            if match.startswith("ip "):
                yield f"{out} {match} udp sport 68 udp dport 67 {time}{name}"
        yield f"{back} ip saddr {four} udp sport 67 udp dport 68 {time}{name}"
    if six:
        yield f"{out} ip6 saddr fe80::/10 ip6 daddr ff02::1:2 udp sport 546 udp dport 547 {time}{name}"
        yield f"{back} ip6 saddr {six} udp sport 547 udp dport 546 {time}{name}"


def counter(name: str) -> str:
    """Return a name as nft takes it: letters, digits and `_`."""
    return "".join(c if c.isalnum() else "_" for c in name)
