"""Checks that parties which listen at one port can be told apart. Works on what `shape.fill` left: a word may be missing.

One port carries one declared transport. Before the A-ASSOCIATE-RQ a caller is told by port and source address; parties that share both
are told apart by the AE title, and by the certificate that must be bound to it. So they must be alike in all that a handshake needs.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Final

from wardgate.codes import Code
from wardgate.policy.endpoint import ANY_HOSTS, parse_endpoint
from wardgate.policy.mistakes import Mistake

# Words of a TLS table that are judged once it is known which party calls. Everything else makes the handshake.
AFTER_THE_HANDSHAKE: Final = frozenset(
    ("anchors", "names", "fingerprints", "crls", "crl_urls", "crl_policy", "stale_crl", "unsafe_allow_any_name")
)


def check_listeners(links: list[dict[str, Any]], mistakes: list[Mistake]) -> None:
    """Add a mistake for every listening endpoint at which a caller could not be told from one of another party."""
    seen: list[tuple[str, str, dict[str, Any]]] = []
    for index, link in enumerate(links):
        parties = [("modality", link.get("modality", {}))] + [(f"peer[{n}]", peer) for n, peer in enumerate(link.get("peer", []))]
        for name, party in parties:
            for number, text in enumerate(party.get("listen", [])):
                place = f"link[{index}].{name}.listen[{number}]"
                for other_place, other_text, other in seen:
                    why = _clash(text, party, other_text, other)
                    if why:
                        mistakes.append(Mistake(place, f"{why} {other_place}", text, Code.CONFIG_LISTEN_CLASH))
                seen.append((place, text, party))


def _clash(text: str, party: dict[str, Any], other_text: str, other: dict[str, Any]) -> str | None:
    mine, theirs = parse_endpoint(text), parse_endpoint(other_text)
    if mine.port != theirs.port or mine.port == 0:
        return None
    if mine.host != theirs.host:
        same_family = (":" in mine.host) == (":" in theirs.host)  # [::] takes IPv6 only
        both = same_family and {mine.host, theirs.host} & ANY_HOSTS
        return "single addresses, or all of them once, for the port shared with" if both else None
    if party is other:
        return "an endpoint other than"
    if party.get("transport") != other.get("transport"):
        return "another port, or the transport of"
    if party.get("transport") in ("iscl", "iscl-in-tls"):  # the box speaks first, so it must know whom it speaks to
        return "another port, ISCL being spoken on that of"
    return _same_source(party, other) if _meet(party, other) else None


def _meet(party: dict[str, Any], other: dict[str, Any]) -> bool:
    """May one source address be that of both?"""
    networks = [ip_network(text) for text in other.get("addresses", [])]
    mine = map(ip_network, party.get("addresses", []))
    return any(one.version == each.version and one.overlaps(each) for one in mine for each in networks)


def _same_source(party: dict[str, Any], other: dict[str, Any]) -> str | None:
    """Say why two parties cannot share port and source address; None when AE title and certificate tell them apart."""
    mine, theirs = party.get("tls") or {}, other.get("tls") or {}
    # In clear, and with anonymous callers, an AE title is a name that anybody may say: there the address is all that binds it.
    if party.get("transport") != "tls" or not mine.get("mutual", True) or not theirs.get("mutual", True):
        return "another port, or source addresses other than those of"
    differing = sorted(word for word in {*mine, *theirs} - AFTER_THE_HANDSHAKE if mine.get(word) != theirs.get(word))
    if differing:
        words = ", ".join(f"tls.{word}" for word in differing)
        return f"another port or other source addresses, or the same {words} (needed before the AE title is known) as"
    if _titles(party) & _titles(other):
        return "another port or source addresses, or AE titles other than those of"
    return None


def _titles(party: dict[str, Any]) -> set[str]:
    return {text.strip(" ") for text in party.get("ae_titles", [])}
