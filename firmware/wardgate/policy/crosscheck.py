"""Checks that words of the configuration fit each other. Works on what `shape.fill` left: a word may be missing."""

from __future__ import annotations

import os
from typing import Any, Final

from wardgate.codes import Code
from wardgate.custody.arguments import CONTROL
from wardgate.policy.audit_words import MAX_REPOSITORIES
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.keyref import shown
from wardgate.policy.listeners import check_listeners
from wardgate.policy.mistakes import Mistake
from wardgate.policy.plant_check import check_plant
from wardgate.policy.schema import PROFILES, REFUSED_PROFILES, RETIRED_PROFILES
from wardgate.policy.status import check_status
from wardgate.policy.update_words import check_updates
from wardgate.policy.witnesses import check_witnesses
from wardgate.token.naming import is_uri

MOST_RECOVERY_KEYS: Final = 4  # each makes the head of every instance longer

_SOCKET_PATH_BYTES = 107  # sun_path of Linux, less its NUL
_LONGEST_SOCKET = "/custody.sock"


def cross_check(data: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Add every contradiction in `data` to `mistakes`."""
    run_dir = data.get("box", {}).get("run_dir", "")
    if len((run_dir + _LONGEST_SOCKET).encode()) > _SOCKET_PATH_BYTES:
        limit = _SOCKET_PATH_BYTES - len(_LONGEST_SOCKET)
        mistakes.append(Mistake("box.run_dir", f"at most {limit} bytes (a UNIX socket's path)", run_dir, Code.CONFIG_BOUNDS))
    custody = data.get("custody", {})
    _apart("custody.socket", custody.get("socket", ""), CONTROL, run_dir, mistakes)
    check_witnesses(custody.get("witness", []), mistakes)
    links = data.get("link", [])
    _keys(data.get("keys", {}), data.get("limits", {}), _shakes_with_token(links), mistakes)
    _hold(data.get("hold"), links, mistakes)
    _audit(data, mistakes)
    check_updates(data, mistakes)
    _names(links, "link", mistakes)
    for index, link in enumerate(links):
        _link(link, f"link[{index}]", mistakes)
    check_listeners(links, mistakes)
    check_plant(data, mistakes)


def _apart(place: str, socket: str, beside: str, run_dir: str, mistakes: list[Mistake]) -> None:
    """The socket of a process with an account of its own. `beside`: the longest end of another one's path."""
    if len((socket + beside).encode()) > _SOCKET_PATH_BYTES:
        limit = _SOCKET_PATH_BYTES - len(beside)
        mistakes.append(Mistake(place, f"at most {limit} bytes (a UNIX socket's path)", socket, Code.CONFIG_BOUNDS))
    if socket and run_dir and os.path.dirname(socket) == run_dir:
        expected = "a directory other than box.run_dir, which is the gateway's own"
        mistakes.append(Mistake(place, expected, socket, Code.CONFIG_CONTRADICTION))


def _hold(hold: dict[str, Any] | None, links: list[dict[str, Any]], mistakes: list[Mistake]) -> None:
    for index, link in enumerate(links):
        if link.get("delivery") in ("hold", "relay-then-hold") and hold is None:
            mistakes.append(
                Mistake(f"link[{index}].delivery", "a table [hold], because this link holds", link["delivery"], Code.CONFIG_MISSING)
            )
        for number, peer in enumerate(link.get("peer", [])):
            if "*" in peer.get("hold_transfer_syntaxes", []):
                place = f"link[{index}].peer[{number}].hold_transfer_syntaxes"
                mistakes.append(Mistake(place, "transfer syntax UIDs: what is held is never transcoded", "*", Code.CONFIG_VALUE))
    if hold and "key" in hold and not is_uri(hold["key"]) and not hold.get("unsafe_allow_file_key"):
        expected = "a key in a token (pkcs11:...), or unsafe_allow_file_key = true beside it"
        mistakes.append(Mistake("hold.key", expected, hold["key"], Code.CONFIG_UNSAFE_NEEDED))
    recovery = (hold or {}).get("recovery", [])
    if hold and recovery and not is_uri(hold.get("key", "")):
        mistakes.append(
            Mistake("hold.recovery", "a key in a token beside it: a file can be copied", hold.get("key", ""), Code.CONFIG_CONTRADICTION)
        )
    if len(recovery) > MOST_RECOVERY_KEYS:
        mistakes.append(Mistake("hold.recovery", f"at most {MOST_RECOVERY_KEYS} files", str(len(recovery)), Code.CONFIG_VALUE))


def _audit(data: dict[str, Any], mistakes: list[Mistake]) -> None:
    audit = data.get("audit") or {}
    _apart("audit.socket", audit.get("socket", ""), "", data.get("box", {}).get("run_dir", ""), mistakes)
    repositories = audit.get("repository", [])
    plant = data.get("plant", {})
    reach = plant.get("management", {}).get("reach", [])
    if len(repositories) > MAX_REPOSITORIES:
        expected = f"at most {MAX_REPOSITORIES} repositories"
        mistakes.append(Mistake("audit.repository", expected, str(len(repositories)), Code.CONFIG_BOUNDS))
    _names(repositories, "audit.repository", mistakes)
    for place, other in (
        ("custody.log", data.get("custody", {}).get("log")),
        ("hold.directory", (data.get("hold") or {}).get("directory")),
    ):
        if other and audit.get("spool") == other:
            mistakes.append(Mistake("audit.spool", f"a directory other than {place}", other, Code.CONFIG_CONTRADICTION))
    for index, each in enumerate(repositories):
        place = f"audit.repository[{index}]"
        _reachable(each, place, mistakes)
        if plant.get("ports", "none") != "none" and each.get("connect") and each["connect"] not in reach:
            expected = "an endpoint of plant.management.reach: with the plant the box itself calls nothing else"
            mistakes.append(Mistake(f"{place}.connect", expected, each["connect"], Code.CONFIG_CONTRADICTION))
        if each.get("tls"):
            _tls(each["tls"], f"{place}.tls", mistakes)


def _reachable(table: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    if table.get("connect") and parse_endpoint(table["connect"]).port == 0:
        mistakes.append(Mistake(f"{place}.connect", "a port from 1 to 65535", table["connect"], Code.CONFIG_BOUNDS))


def _shakes_with_token(links: list[dict[str, Any]]) -> bool:
    parties = [party for link in links for party in (link.get("modality", {}), *link.get("peer", []))]
    return any(is_uri(pair.get("key", "")) for party in parties for pair in (party.get("tls") or {}).get("certificates", []))


def _keys(keys: dict[str, Any], limits: dict[str, Any], with_token: bool, mistakes: list[Mistake]) -> None:
    path = keys.get("socket", "")
    if len(path.encode()) > _SOCKET_PATH_BYTES:
        mistakes.append(Mistake("keys.socket", f"at most {_SOCKET_PATH_BYTES} bytes (a UNIX socket's path)", path, Code.CONFIG_BOUNDS))
    sign, handshake = keys.get("sign_seconds"), limits.get("handshake_seconds")
    if with_token and sign is not None and handshake is not None and sign >= handshake:
        expected = f"less than limits.handshake_seconds ({handshake}), or a slow card is never named as the reason"
        mistakes.append(Mistake("keys.sign_seconds", expected, str(sign), Code.CONFIG_CONTRADICTION))


def _names(tables: list[dict[str, Any]], place: str, mistakes: list[Mistake]) -> None:
    seen: dict[str, int] = {}
    for index, table in enumerate(tables):
        name = table.get("name")
        if name is None:
            continue
        if name in seen:
            mistakes.append(Mistake(f"{place}[{index}].name", f"another name than {place}[{seen[name]}] has", name, Code.CONFIG_DUPLICATE))
        seen.setdefault(name, index)


def _link(link: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    peers = link.get("peer", [])
    modality = link.get("modality", {})
    _names(peers, f"{place}.peer", mistakes)
    called: dict[str, str] = {}
    for index, peer in enumerate(peers):
        here = f"{place}.peer[{index}]"
        if peer.get("name") == "modality":
            mistakes.append(Mistake(f"{here}.name", "a name other than that of the link's other side", "modality", Code.CONFIG_DUPLICATE))
        for title in {text.strip(" ") for text in peer.get("ae_titles", [])}:
            if title in called:
                expected = f"an AE title that {called[title]} does not have, or the peer could not be told"
                mistakes.append(Mistake(f"{here}.ae_titles", expected, title, Code.CONFIG_DUPLICATE))
            called.setdefault(title, here)
        if peer.get("transport") == "plain" and not peer.get("unsafe_allow_clear_hospital"):
            expected = 'transport "tls" on the hospital side, or unsafe_allow_clear_hospital = true beside it'
            mistakes.append(Mistake(f"{here}.transport", expected, "plain", Code.CONFIG_UNSAFE_NEEDED))
        _party(peer, here, mistakes)
    if modality:
        _party(modality, f"{place}.modality", mistakes)
    check_status(link, place, mistakes)
    _directions(link, place, modality, peers, mistakes)


def _directions(link: dict[str, Any], place: str, modality: dict[str, Any], peers: list[dict[str, Any]], mistakes: list[Mistake]) -> None:
    for word, caller, callers, callee, callees in (
        ("to-hospital", "the modality", [modality], "a peer", peers),
        ("to-modality", "a peer", peers, "the modality", [modality]),
    ):
        if word not in link.get("directions", []):
            continue
        if not any(party.get("listen", True) for party in callers):  # left out: wrong, and named already
            expected = f"`listen` of {caller}, because this direction is allowed"
            mistakes.append(Mistake(f"{place}.directions", expected, word, Code.CONFIG_CONTRADICTION))
        if not any(party.get("connect", True) for party in callees):
            expected = f"`connect` of {callee}, because this direction is allowed"
            mistakes.append(Mistake(f"{place}.directions", expected, word, Code.CONFIG_CONTRADICTION))


def _party(party: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    transport, tls = party.get("transport"), party.get("tls")
    for word, carriers in (("tls", ("tls", "iscl-in-tls")), ("iscl", ("iscl", "iscl-in-tls"))):
        there = party.get(word) is not None
        if transport in carriers and not there:
            mistakes.append(Mistake(f"{place}.{word}", f'a table, because transport is "{transport}"', "nothing", Code.CONFIG_MISSING))
        elif transport is not None and transport not in carriers and there:
            expected = f'no table, because transport is "{transport}"'
            mistakes.append(Mistake(f"{place}.{word}", expected, "a table", Code.CONFIG_CONTRADICTION))
    _reachable(party, place, mistakes)
    if tls:
        _tls(tls, f"{place}.tls", mistakes)


def _tls(tls: dict[str, Any], place: str, mistakes: list[Mistake]) -> None:
    for index, pair in enumerate(tls.get("certificates", [])):
        if is_uri(pair.get("chain", "")):
            expected = "a PEM file: the chain is public, has the issuing CA's certificate too and is needed while the token is out"
            mistakes.append(Mistake(f"{place}.certificates[{index}].chain", expected, shown(pair["chain"]), Code.CONFIG_VALUE))
    profile = tls.get("profile")
    if profile in REFUSED_PROFILES:
        expected = f"one of {', '.join(PROFILES)}: {REFUSED_PROFILES[profile]}"
        mistakes.append(Mistake(f"{place}.profile", expected, profile, Code.CONFIG_PROFILE))
    elif profile in RETIRED_PROFILES and not tls.get("unsafe_allow_retired_profile"):
        expected = "B.12 or B.13, or unsafe_allow_retired_profile = true beside it"
        mistakes.append(Mistake(f"{place}.profile", expected, profile, Code.CONFIG_UNSAFE_NEEDED))
    elif profile is not None and profile not in PROFILES + RETIRED_PROFILES:
        mistakes.append(Mistake(f"{place}.profile", f"one of {', '.join(PROFILES)}", profile, Code.CONFIG_PROFILE))
    if tls.get("mutual") is False and not tls.get("unsafe_allow_anonymous_peer"):
        expected = "true, or unsafe_allow_anonymous_peer = true beside it"
        mistakes.append(Mistake(f"{place}.mutual", expected, "false", Code.CONFIG_UNSAFE_NEEDED))
    bound = tls.get("names", True) or tls.get("fingerprints", True) or tls.get("unsafe_allow_any_name")
    if not bound:
        expected = "a name or a fingerprint that binds the certificate to this party, or unsafe_allow_any_name = true"
        mistakes.append(Mistake(f"{place}.names", expected, "nothing", Code.CONFIG_UNSAFE_NEEDED))
