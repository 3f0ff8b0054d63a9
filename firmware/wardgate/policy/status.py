"""Checks the words of SOP Instance Status (PS3.15 A.1) in one link."""

from __future__ import annotations

from typing import Any

from wardgate.codes import Code
from wardgate.policy.mistakes import Mistake


def check_status(link: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    """Add every contradiction in `link`."""
    rule = link.get("sop_instance_status", "pass")
    if rule == "rule-f" and link.get("delivery", "relay") != "relay":
        expected = 'delivery "relay": what is held is not edited'
        mistakes.append(Mistake(f"{place}.sop_instance_status", expected, link["delivery"], Code.CONFIG_CONTRADICTION))
    parties = [("modality", link.get("modality") or {})]
    parties += [(f"peer[{index}]", peer) for index, peer in enumerate(link.get("peer", []))]
    for name, party in parties:
        if party.get("sop_instance_status") != "conforms":
            continue
        here = f"{place}.{name}.sop_instance_status"
        tls = party.get("tls") or {}
        if rule == "pass":
            expected = 'sop_instance_status = "rule-f" in the link, or the word left out here'
            mistakes.append(Mistake(here, expected, "conforms", Code.CONFIG_CONTRADICTION))
        if party.get("transport") != "tls":
            expected = '"none": A.1 asks for a secure transport, which "tls" is'
            mistakes.append(Mistake(here, expected, str(party.get("transport")), Code.CONFIG_CONTRADICTION))
        elif not tls.get("mutual", True) or tls.get("unsafe_allow_any_name"):
            expected = '"none": A.1 asks that both sides are authenticated, so `mutual` and a bound certificate'
            mistakes.append(Mistake(here, expected, "conforms", Code.CONFIG_CONTRADICTION))
