"""Small pieces of nft text: address sets by family, ports, times. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from wardgate.policy.plant import Network


def families(sources: Iterable[Network], destinations: Iterable[Network]) -> Iterator[tuple[str, str]]:
    """Yield `(family, match)` for IPv4 and IPv6, when both sides have addresses of it."""
    sources, destinations = list(sources), list(destinations)
    for version, family in ((4, "ip"), (6, "ip6")):
        one, other = of_version(sources, version), of_version(destinations, version)
        if one and other:
            yield family, f"{family} saddr {one} {family} daddr {other}"


def of_version(networks: Iterable[Network], version: int) -> str:
    """Return `{ a, b }` of the networks of one IP version, without overlaps; empty when there is none."""
    if version == 4:
        four = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
        texts = [_text(network) for network in four]
    else:
        six = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
        texts = [_text(network) for network in six]
    return one_of(texts)


def _text(network: Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def one_of(values: Iterable[object]) -> str:
    """Return `{ a, b }`, or one value alone; empty when there is none."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else "{ " + ", ".join(texts) + " }" if texts else ""


def when(hours: str, days: tuple[str, ...]) -> str:
    """Return the match of a time window, UTC, with a blank behind it; empty for always."""
    text = ""
    if hours:
        begin, end = hours.split("-")
        text += f'meta hour "{begin}"-"{end}" '
    if days:
        text += f"meta day {one_of(chr(34) + day.capitalize() + chr(34) for day in days)} "
    return text
