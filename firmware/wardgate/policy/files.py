"""Checks the files that the configuration names: there, readable, private keys not open to other accounts."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from wardgate.codes import Code
from wardgate.policy.mistakes import Mistake
from wardgate.token.naming import is_uri

_MAX_BYTES = 64 << 20  # CRLs are the largest


def absolute_paths(data: dict[str, Any], base: Path) -> None:
    """Make every path in `data` absolute, counted from the folder of the configuration file."""
    places = (
        ("box", "run_dir"),
        ("custody", "log"),
        ("custody", "key"),
        ("custody", "socket"),
        ("keys", "socket"),
        ("hold", "directory"),
        ("hold", "key"),
        ("audit", "spool"),
        ("audit", "socket"),
        ("updates", "anchors"),
        ("updates", "token"),
        ("plant", "socket"),
    )
    for table, word in places:
        if (data.get(table) or {}).get(word):
            data[table][word] = _absolute(data[table][word], base)
    hold = data.get("hold") or {}
    hold.update({"recovery": [_absolute(text, base) for text in hold["recovery"]]} if hold.get("recovery") else {})
    for witness in data.get("custody", {}).get("witness", []):
        if "anchors" in witness:
            witness["anchors"] = _absolute(witness["anchors"], base)
    for _place, tls in _tls_tables(data):
        for pair in tls.get("certificates", []):
            pair.update({word: _absolute(text, base) for word, text in pair.items()})
        if "anchors" in tls:
            tls["anchors"] = _absolute(tls["anchors"], base)
        tls["crls"] = [_absolute(text, base) for text in tls.get("crls", [])]
    for _place, iscl in _iscl_tables(data):
        if iscl.get("keys"):
            iscl["keys"] = _absolute(iscl["keys"], base)


def _iscl_tables(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for index, link in enumerate(data.get("link", [])):
        parties = [(f"link[{index}].modality", link.get("modality", {}))]
        parties += [(f"link[{index}].peer[{number}]", peer) for number, peer in enumerate(link.get("peer", []))]
        found += [(f"{place}.iscl", party["iscl"]) for place, party in parties if party.get("iscl")]
    return found


def check_files(data: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Add a mistake for every file of `data` that cannot be used."""
    custody = data.get("custody", {})
    apart = bool(custody.get("socket"))  # log and key are another account's, and this one may not use them
    if "key" in custody and not apart:
        _key(custody["key"], "custody.key", mistakes)
    if "log" in custody and not apart:
        _directory(Path(custody["log"]), "custody.log", mistakes)
    for place, iscl in _iscl_tables(data):
        if iscl.get("keys"):
            _key(iscl["keys"], f"{place}.keys", mistakes)
    for index, witness in enumerate(custody.get("witness", [])):
        if "anchors" in witness:
            _file(witness["anchors"], f"custody.witness[{index}].anchors", mistakes)
    hold = data.get("hold") or {}
    if "key" in hold:
        _key(hold["key"], "hold.key", mistakes)
    for index, path in enumerate(hold.get("recovery", [])):
        _file(path, f"hold.recovery[{index}]", mistakes)
    if "directory" in hold:
        _directory(Path(hold["directory"]), "hold.directory", mistakes)
    audit = data.get("audit") or {}
    sent_apart = bool(audit.get("socket"))  # then spool and keys are another account's
    if audit.get("spool") and not sent_apart:
        _directory(Path(audit["spool"]), "audit.spool", mistakes)
    updates = data.get("updates") or {}
    if "anchors" in updates:
        _file(updates["anchors"], "updates.anchors", mistakes)
    if "token" in updates:
        _key(updates["token"], "updates.token", mistakes)
    for place, tls in _tls_tables(data):
        for index, pair in enumerate(tls.get("certificates", [])):
            if "chain" in pair and not is_uri(pair["chain"]):
                _file(pair["chain"], f"{place}.certificates[{index}].chain", mistakes)
            if "key" in pair and not (sent_apart and place.startswith("audit.")):
                _key(pair["key"], f"{place}.certificates[{index}].key", mistakes)
        if "anchors" in tls:
            _file(tls["anchors"], f"{place}.anchors", mistakes)
        for index, path in enumerate(tls.get("crls", [])):
            _file(path, f"{place}.crls[{index}]", mistakes)


def _tls_tables(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for index, link in enumerate(data.get("link", [])):
        parties = [(f"link[{index}].modality", link.get("modality", {}))]
        parties += [(f"link[{index}].peer[{number}]", peer) for number, peer in enumerate(link.get("peer", []))]
        found += [(f"{place}.tls", party["tls"]) for place, party in parties if party.get("tls")]
    repositories = (data.get("audit") or {}).get("repository", [])
    found += [(f"audit.repository[{index}].tls", each["tls"]) for index, each in enumerate(repositories) if each.get("tls")]
    return found


def _absolute(text: str, base: Path) -> str:
    """Return the path; a key in a token is none."""
    return text if is_uri(text) else os.path.abspath(base / text)


def _file(path: str, place: str, mistakes: list[Mistake]) -> os.stat_result | None:
    problem = None
    status = None
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            problem = "not a file"
        elif status.st_size > _MAX_BYTES:
            problem = f"longer than {_MAX_BYTES} bytes"
        elif status.st_size == 0:
            problem = "empty"
        elif not os.access(path, os.R_OK):
            problem = "not readable by this account"
    except OSError as error:
        problem = error.strerror or "cannot be opened"
    if problem is None:
        return status
    mistakes.append(Mistake(place, "a file that can be read", f"{path} ({problem})", Code.CONFIG_FILE))
    return None


def _key(path: str, place: str, mistakes: list[Mistake]) -> None:
    if is_uri(path):
        return  # whether it is there, the key service knows
    status = _file(path, place, mistakes)
    if status is not None and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        mistakes.append(Mistake(place, "a secret of mode 0600", f"{path} (mode {mode:04o})", Code.CONFIG_KEY_EXPOSED))


def _directory(path: Path, place: str, mistakes: list[Mistake]) -> None:
    """Its user makes the directory; then the one above it must be there."""
    parent = path if path.exists() else path.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        mistakes.append(Mistake(place, "a directory in which this account may write", str(path), Code.CONFIG_FILE))
