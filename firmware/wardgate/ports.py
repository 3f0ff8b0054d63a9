"""`python -m wardgate.ports -c FILE [--print]`: opens the firewall for what the policy names, and for nothing else.

Fills the chain `served` of the base rule set (`image/common`, table `inet box`): caller, own address, TCP port. Rules and not a set,
because the addresses of two parties may overlap. One transaction: the chain is emptied and filled, or stays as it was. A policy with a
mistake changes nothing: at boot that is closed. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from typing import Final

from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors
from wardgate.policy.model import Config
from wardgate.policy.plant import Side

NFT: Final = "/usr/sbin/nft"
_SECONDS: Final = 20.0
_FAMILY: Final = {4: "ip", 6: "ip6"}


def rules(config: Config) -> list[str]:
    """Return nft's rules, each once. A listening host that is a name has none: see `unnamed`."""
    found: set[str] = set()
    for link in config.links:
        for party in link.parties:
            for endpoint in party.listen:
                own = _address(endpoint.host)
                if own is None:
                    continue
                for network in party.addresses:
                    if network.version == own.version:
                        family = _FAMILY[own.version]
                        to = "" if own.is_unspecified else f" {family} daddr {own}"
                        found.add(f"{family} saddr {network}{to} tcp dport {endpoint.port} accept")
    management = config.plant.management
    if management.side is not Side.OFF and management.address:
        own = ipaddress.ip_interface(management.address).ip
        for network in management.sources:
            if network.version == own.version:
                family = _FAMILY[own.version]
                found.add(f"{family} saddr {network} {family} daddr {own} tcp dport {management.port} accept")
    return sorted(found)


def unnamed(config: Config) -> list[str]:
    """Return the listening endpoints whose host is a name: the firewall stays closed for them."""
    endpoints = (endpoint for link in config.links for party in link.parties for endpoint in party.listen)
    return sorted({endpoint.text for endpoint in endpoints if _address(endpoint.host) is None})


def commands(config: Config) -> str:
    """Return the transaction for `nft -f -`."""
    return "\n".join(["flush chain inet box served", *(f"add rule inet box served {rule}" for rule in rules(config)), ""])


def main(words: list[str]) -> int:
    """Open the ports, or print the transaction. 0 good, 1 bad, 2 wrongly called."""
    printing = words[2:] == ["--print"]
    if len(words) < 2 or words[0] not in ("-c", "--config") or not (printing or len(words) == 2):
        sys.stderr.write("usage: python -m wardgate.ports -c FILE [--print]\n")
        return 2
    try:
        config = load_config(words[1], files=False)
    except ConfigErrors as errors:
        sys.stderr.write("".join(f"{mistake}\n" for mistake in errors.mistakes))
        return 1
    for endpoint in unnamed(config):
        sys.stderr.write(f"{endpoint}: the firewall stays closed for a listening host that is a name; name its address\n")
    if printing:
        sys.stdout.write(commands(config))
        return 0
    try:
        done = subprocess.run((NFT, "-f", "-"), input=commands(config), text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{NFT}: {error}\n")
        return 1
    return 0 if done.returncode == 0 else 1


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
