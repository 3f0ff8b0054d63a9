"""Checks the witnesses that a configuration names: https, a key that is one, no name twice."""

from __future__ import annotations

from typing import Any

from wardgate.codes import Code
from wardgate.policy.mistakes import Mistake


def check_witnesses(witnesses: list[dict[str, Any]], mistakes: list[Mistake]) -> None:
    """Add a mistake for every witness that cannot be asked or whose signature could not be told."""
    if not witnesses:
        return
    from wardgate.custody.cosignature import parse_witness_key
    from wardgate.custody.note import NoteError

    names: set[str] = set()
    for index, witness in enumerate(witnesses):
        place = f"custody.witness[{index}]"
        url = witness.get("url", "https://")
        if not url.startswith("https://"):
            mistakes.append(Mistake(f"{place}.url", "an https:// address", url, Code.CONFIG_VALUE))
        try:
            name = parse_witness_key(witness["key"]).name if "key" in witness else ""
        except NoteError as error:
            mistakes.append(Mistake(f"{place}.key", "a witness's vkey, Ed25519 (type 0x04)", str(error), Code.CONFIG_VALUE))
            continue
        if name and name in names:
            mistakes.append(Mistake(f"{place}.key", "a witness of another name", name, Code.CONFIG_DUPLICATE))
        names.add(name)
