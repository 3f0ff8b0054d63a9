"""Checks the words of SOP Instance Status (PS3.15 A.1) in one link."""

from __future__ import annotations

from typing import Any

from wardgate.codes import Code
from wardgate.policy.mistakes import Mistake


def check_status(link: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    """Add every contradiction in `link`."""
    rule = link.get("sop_instance_status", "pass")
    delivery = link.get("delivery", "relay")
    if rule == "rule-f" and delivery != "relay":
        expected = 'delivery "relay"; where it holds, "holder"'
        mistakes.append(Mistake(f"{place}.sop_instance_status", expected, delivery, Code.CONFIG_CONTRADICTION))
    if rule == "holder" and delivery != "hold":
        expected = 'delivery "hold": only who has an instance can be its holder (PS3.15 A.1.1 c)'
        mistakes.append(Mistake(f"{place}.sop_instance_status", expected, delivery, Code.CONFIG_CONTRADICTION))
    _creates(link, place, rule, mistakes)
    parties = [("modality", link.get("modality") or {})]
    parties += [(f"peer[{index}]", peer) for index, peer in enumerate(link.get("peer", []))]
    for name, party in parties:
        if party.get("sop_instance_status") != "conforms":
            continue
        here = f"{place}.{name}.sop_instance_status"
        tls = party.get("tls") or {}
        if rule == "pass":
            expected = 'sop_instance_status = "rule-f" or "holder" in the link, or the word left out here'
            mistakes.append(Mistake(here, expected, "conforms", Code.CONFIG_CONTRADICTION))
        if party.get("transport") != "tls":
            expected = '"none": A.1 asks for a secure transport, which "tls" is'
            mistakes.append(Mistake(here, expected, str(party.get("transport")), Code.CONFIG_CONTRADICTION))
        elif not tls.get("mutual", True) or tls.get("unsafe_allow_any_name"):
            expected = '"none": A.1 asks that both sides are authenticated, so `mutual` and a bound certificate'
            mistakes.append(Mistake(here, expected, "conforms", Code.CONFIG_CONTRADICTION))


def _creates(link: dict[str, Any], place: str, rule: str, mistakes: list[Mistake]) -> None:
    """Originals need somebody who takes them, and commits them: the box never deletes one (PS3.15 A.1.1 c)."""
    creating = link.get("creating_entity")
    receives = rule == "holder" and (link.get("modality") or {}).get("sop_instance_status") == "conforms"
    certification = link.get("equipment_certification", "")
    if not creating:
        if certification:
            expected = "creating_entity = true beside it, or the word left out"
            mistakes.append(Mistake(f"{place}.equipment_certification", expected, certification[:40], Code.CONFIG_CONTRADICTION))
    elif rule != "holder":
        mistakes.append(Mistake(f"{place}.creating_entity", 'sop_instance_status = "holder" beside it', rule, Code.CONFIG_CONTRADICTION))
    elif receives:
        expected = "false: a modality that conforms is an entity of its own"
        mistakes.append(Mistake(f"{place}.creating_entity", expected, "true", Code.CONFIG_CONTRADICTION))
    elif not certification:
        expected = "equipment_certification beside it: (0100,0426) is part of every original (PS3.15 A.1.1 a)"
        mistakes.append(Mistake(f"{place}.equipment_certification", expected, "nothing", Code.CONFIG_MISSING))
    elif len(certification) > 64 or not certification.isascii() or "\\" in certification:
        expected = "at most 64 ASCII characters without backslash (VR LO)"
        mistakes.append(Mistake(f"{place}.equipment_certification", expected, certification[:80], Code.CONFIG_BOUNDS))
    if not creating and not receives:
        for word in ("originals_wait", "authorizers"):
            if link.get(word):
                expected = "a link that has originals (creating_entity, or a modality that conforms), or the word left out"
                mistakes.append(Mistake(f"{place}.{word}", expected, str(link[word])[:40], Code.CONFIG_CONTRADICTION))
        return
    if link.get("originals_wait") and not link.get("authorizers"):
        mistakes.append(Mistake(f"{place}.authorizers", "somebody who may authorize what waits", "nothing", Code.CONFIG_MISSING))
    _takers(link.get("peer", []), place, mistakes)


def _takers(peers: list[dict[str, Any]], place: str, mistakes: list[Mistake]) -> None:
    for index, peer in enumerate(peers):
        if peer.get("sop_instance_status") != "conforms":
            expected = '"conforms": an original could never leave for another peer, nor be deleted (PS3.15 A.1.1 c)'
            here = f"{place}.peer[{index}].sop_instance_status"
            mistakes.append(Mistake(here, expected, str(peer.get("sop_instance_status")), Code.CONFIG_CONTRADICTION))
        if peer.get("commitment", "destination") != "destination":
            expected = '"destination": a transfer is confirmed by storage commitment (PS3.15 A.1.1 d)'
            mistakes.append(Mistake(f"{place}.peer[{index}].commitment", expected, peer["commitment"], Code.CONFIG_CONTRADICTION))
