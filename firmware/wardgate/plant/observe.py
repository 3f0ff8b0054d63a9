"""The report of a dry run: what was seen that policy does not name, as a configuration to start from. Pure.

The rest of the file is kept as it is; only the tables of the plant are written anew, with `enforce = true` and an allow entry for each
server that was wanted. Every entry is a question to a person: the number behind it is no proof of need.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Final

from wardgate.policy.plant_words import SERVICES

_KNOWN: Final = {
    ("udp", 67): "dhcp",
    ("udp", 547): "dhcp",
    ("udp", 53): "dns",
    ("tcp", 53): "dns",
    ("udp", 123): "ntp",
    ("udp", 514): "syslog",
}
_PROTOCOLS: Final = {"6": "tcp", "17": "udp"}


def report(text: str, seen: dict[str, Any], status: dict[str, Any]) -> str:
    """Return TOML: the configuration `text` with a `[plant]` that would have let pass what was seen."""
    plant: dict[str, Any] = dict(tomllib.loads(text).get("plant", {}))
    flows = [(str(row[0]), str(row[1]), str(row[2]), str(row[3]), int(row[4])) for row in seen.get("flows", [])]
    head = ["# wardgate observe report: what policy would have refused is below as [[plant.allow]]; strike out what nobody needs."]
    if not flows:
        head.append("# Nothing was refused.")
    if seen.get("more"):
        head.append(f"# {seen['more']} more flows were seen than are listed here.")
    head += [
        f"# passed by policy: {name} {count} packets"
        for name, count in sorted(status.get("counters", {}).items())
        if _named(name) and count
    ]
    head += [
        f"# in another's name: {name} {count} frames" for name, count in sorted(status.get("counters", {}).items()) if _bad(name) and count
    ]
    plant["enforce"] = True
    plant["allow"] = [*plant.get("allow", []), *_entries(flows, {entry.get("name") for entry in plant.get("allow", [])})]
    return "\n".join([*head, "", _without_plant(text).strip(), "", *_tables("plant", plant), ""])


def _named(name: str) -> bool:
    return name.startswith(("allow_", "dicom_"))


def _bad(name: str) -> bool:
    return name.startswith(("spoofed", "stranger", "malformed", "tagged"))


def _entries(flows: Iterable[tuple[str, str, str, str, int]], taken: set[Any]) -> list[dict[str, Any]]:
    """One entry a service, way and port, with all its servers. Groups and broadcasts have no server that could be named."""
    found: dict[tuple[str, str, int], set[str]] = {}
    for name, source, destination, number, port in flows:
        protocol = _PROTOCOLS.get(number, number)
        outward = "modality" in name
        service = _KNOWN.get((protocol, port), protocol)
        address = ip_address(destination if outward else source)
        if service not in SERVICES or address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
            continue
        way = "from-modality" if outward else "to-modality"
        if service == "dhcp" and not outward:
            continue
        found.setdefault((service, way, port if service in ("tcp", "udp") else 0), set()).add(str(address))
    entries = []
    for (service, way, port), addresses in sorted(found.items()):
        name = f"seen-{service}{f'-{port}' if port else ''}{'-in' if way == 'to-modality' else ''}"
        while name in taken:
            name += "x"
        taken.add(name)
        entry: dict[str, Any] = {"name": name, "service": service, "way": way, "addresses": sorted(addresses)}
        if port:
            entry["ports"] = [port]
        entries.append(entry)
    return entries


def _without_plant(text: str) -> str:
    kept, skipping = [], False
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("["):
            title = bare.strip("[").split("]")[0].strip()
            skipping = title == "plant" or title.startswith("plant.")
        if not skipping:
            kept.append(line)
    return "\n".join(kept)


def _tables(title: str, table: dict[str, Any]) -> list[str]:
    lines = [f"[{title}]", *(f"{name} = {_value(value)}" for name, value in table.items() if not _is_table(value)), ""]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += _tables(f"{title}.{name}", value)
        elif _is_table(value):
            for each in value:
                lines += [f"[[{title}.{name}]]", *(f"{word} = {_value(inner)}" for word, inner in each.items()), ""]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    return str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
