"""Checks that the words of `[plant]` fit each other and the links. Works on what `shape.fill` left: a word may be missing."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from wardgate.codes import Code
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.mistakes import Mistake
from wardgate.policy.plant_words import SERVICES

_SOCKET_PATH_BYTES = 107
SAME_HOST = "*"  # in `connect` of a peer: the host that the modality called


def check_plant(data: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Add every contradiction in `[plant]` to `mistakes`."""
    plant = data.get("plant", {})
    bridge, router = plant.get("ports") == "bridge", plant.get("ports") == "router"
    if bridge or router:
        _ports(plant, mistakes)
        _mac(plant, mistakes)
    for index, entry in enumerate(plant.get("allow", [])):
        _allow(entry, f"plant.allow[{index}]", mistakes)
    _management(plant, mistakes)
    glass = plant.get("break_glass", {})
    if glass.get("allow") and not glass.get("addresses"):
        _add(mistakes, "plant.break_glass.addresses", "the addresses that may be reached in clear", "nothing", Code.CONFIG_MISSING)
    if glass.get("allow") and not glass.get("acts"):
        _add(mistakes, "plant.break_glass.acts", "what may start it: button, card, command", "nothing", Code.CONFIG_MISSING)
    for act in ("button", "card"):
        named, used = bool(glass.get(act)), act in glass.get("acts", [])
        if used and not named:
            _add(mistakes, f"plant.break_glass.{act}", f'which one, because acts has "{act}"', "nothing", Code.CONFIG_MISSING)
        if named and not used:
            _add(mistakes, f"plant.break_glass.{act}", f'nothing, because acts has no "{act}"', str(glass[act]), Code.CONFIG_CONTRADICTION)
    for index, text in enumerate(glass.get("addresses", [])):
        _literal(text, f"plant.break_glass.addresses[{index}]", mistakes)
    if router:
        for word in ("modality_addresses", "hospital_addresses"):
            if not plant.get("router", {}).get(word):
                _add(mistakes, f"plant.router.{word}", "an address of the box on that port", "nothing", Code.CONFIG_MISSING)
    for index, link in enumerate(data.get("link", [])):
        _link(link, f"link[{index}]", bridge, mistakes)
        if bridge and link.get("delivery", "relay") != "relay":
            _holding(link, f"link[{index}]", plant.get("management", {}), mistakes)


def _holding(link: dict[str, Any], place: str, management: dict[str, Any], mistakes: list[Mistake]) -> None:
    """What is held leaves later, when the modality may be off: in the bridge from the box's own address, or never."""
    outward = management.get("side") == "hospital"
    reach = [parse_endpoint(text) for text in management.get("reach", [])] if outward else []
    for number, peer in enumerate(link.get("peer", [])):
        if peer.get("connect") and parse_endpoint(peer["connect"]) not in reach:
            expected = "an endpoint of plant.management.reach, on the hospital side, because the link holds: from there the box sends later"
            _add(mistakes, f"{place}.peer[{number}].connect", expected, peer["connect"], Code.CONFIG_CONTRADICTION)


def _ports(plant: dict[str, Any], mistakes: list[Mistake]) -> None:
    names = [plant.get(word) for word in ("modality_port", "hospital_port")]
    for word, name in zip(("modality_port", "hospital_port"), names, strict=True):
        if name == "":
            _add(mistakes, f"plant.{word}", "a network device", "nothing", Code.CONFIG_MISSING)
    if names[0] and names[0] == names[1]:
        _add(mistakes, "plant.hospital_port", "another device than modality_port", str(names[1]), Code.CONFIG_CONTRADICTION)
    if len(str(plant.get("socket", "")).encode()) > _SOCKET_PATH_BYTES:
        expected = f"at most {_SOCKET_PATH_BYTES} bytes (a UNIX socket's path)"
        _add(mistakes, "plant.socket", expected, plant["socket"], Code.CONFIG_BOUNDS)


def _mac(plant: dict[str, Any], mistakes: list[Mistake]) -> None:
    if plant.get("mac") == "bound" and not plant.get("macs"):
        _add(mistakes, "plant.macs", 'a MAC address, because mac is "bound"', "nothing", Code.CONFIG_MISSING)
    if plant.get("mac") == "learned" and plant.get("macs"):
        _add(mistakes, "plant.macs", 'nothing, because mac is "learned"', ", ".join(plant["macs"]), Code.CONFIG_CONTRADICTION)
    for place, text in [(f"plant.macs[{n}]", text) for n, text in enumerate(plant.get("macs", []))] + [
        (f"plant.neighbours[{n}].mac", entry["mac"]) for n, entry in enumerate(plant.get("neighbours", [])) if "mac" in entry
    ]:
        if int(text[:2], 16) & 1 or text.replace(":", "").strip("0") == "":
            _add(mistakes, place, "the MAC address of one station", text, Code.CONFIG_VALUE)


def _allow(entry: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    service = entry.get("service")
    if service is None:
        return
    takes_ports = service in ("tcp", "udp")
    if takes_ports and not entry.get("ports"):
        _add(mistakes, f"{place}.ports", f'ports, because service is "{service}"', "nothing", Code.CONFIG_MISSING)
    if not takes_ports and entry.get("ports"):
        known = ", ".join(map(str, SERVICES[service][1])) or "none"
        _add(mistakes, f"{place}.ports", f'nothing: "{service}" has its own ({known})', str(entry["ports"]), Code.CONFIG_CONTRADICTION)
    if service == "dhcp" and entry.get("way") == "to-modality":
        _add(mistakes, f"{place}.way", '"from-modality": the modality is the client', "to-modality", Code.CONFIG_CONTRADICTION)


def _management(plant: dict[str, Any], mistakes: list[Mistake]) -> None:
    management = plant.get("management", {})
    if management.get("side", "off") == "off":
        if management.get("reach"):
            found = ", ".join(management["reach"])
            _add(mistakes, "plant.management.reach", 'nothing, because side is "off": from no address', found, Code.CONFIG_CONTRADICTION)
        return
    if not management.get("address"):
        _add(mistakes, "plant.management.address", "the box's own address", "nothing", Code.CONFIG_MISSING)
    gateway, own = management.get("gateway"), management.get("address")
    if gateway and own and ip_address(gateway) not in ip_interface(own).network:
        _add(mistakes, "plant.management.gateway", f"an address inside {own}", gateway, Code.CONFIG_CONTRADICTION)
    for index, text in enumerate(management.get("reach", [])):
        _literal(text, f"plant.management.reach[{index}]", mistakes)


def _link(link: dict[str, Any], place: str, bridge: bool, mistakes: list[Mistake]) -> None:
    parties = [(f"{place}.modality", link.get("modality", {}))]
    parties += [(f"{place}.peer[{n}]", peer) for n, peer in enumerate(link.get("peer", []))]
    for here, party in parties:
        host = party.get("connect") and parse_endpoint(party["connect"]).host
        if host == SAME_HOST and (not bridge or here.endswith(".modality")):
            expected = 'a host; "*" (the host that was called) is for peers, with ports = "bridge"'
            _add(mistakes, f"{here}.connect", expected, party["connect"], Code.CONFIG_CONTRADICTION)
        if not bridge:
            continue
        if host and host != SAME_HOST:
            _literal(party["connect"], f"{here}.connect", mistakes)
        for number, text in enumerate(party.get("listen", [])):
            _literal(text, f"{here}.listen[{number}]", mistakes, exact=True)
    if not bridge or not parties[0][1].get("addresses"):
        return
    own = [ip_network(text) for text in parties[0][1]["addresses"]]
    # In the bridge a peer's `listen` and the modality's `connect` are the modality's own address.
    texts = [(f"{here}.listen[{n}]", text) for here, party in parties[1:] for n, text in enumerate(party.get("listen", []))]
    if parties[0][1].get("connect"):
        texts.append((f"{place}.modality.connect", parties[0][1]["connect"]))
    for here, text in texts:
        address = _address(parse_endpoint(text).host)
        if address is not None and not any(address in network for network in own if network.version == address.version):
            _add(mistakes, here, "an address of the modality: the box has none in the bridge", text, Code.CONFIG_CONTRADICTION)


def _address(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _literal(text: str, place: str, mistakes: list[Mistake], exact: bool = False) -> None:
    endpoint = parse_endpoint(text)
    address = _address(endpoint.host)
    if address is None or endpoint.port == 0 or (exact and address.is_unspecified):
        _add(mistakes, place, "one IP address and a port (the rule set knows no names)", text, Code.CONFIG_VALUE)


def _add(mistakes: list[Mistake], place: str, expected: str, found: str, code: Code) -> None:
    mistakes.append(Mistake(place, expected, found, code))
