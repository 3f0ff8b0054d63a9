"""From a whole rule set and what the kernel has to a transaction that fills the same chains again. Pure.

A rule set that deletes its tables and makes new ones is one transaction too, and yet frames are lost: the kernel hooks a new chain in as
soon as it is named, and its rules count from the end of the transaction on; until then all it has is its policy, drop. Here the chains stay
where they are, so each frame meets the old rules or the new ones. Counters go on, and so does what a set with timeouts has noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

TABLE: Final = "wardgate"
Rows = Mapping[str, Iterable[Mapping[str, Any]]]  # by family: what `nft -j list table` lists
_KINDS: Final = ("chain", "set", "map", "counter")  # in the order in which they may be deleted: who refers to others goes first
_BLOCK: Final = re.compile(rf"table (\w+) {TABLE} \{{")
_NAMED: Final = re.compile(rf"\t({'|'.join(_KINDS)}) (\w+) \{{")


def refill(text: str, there: Rows) -> str:
    """Return the transaction that makes the tables what `text` says; empty when they are not there, or have something unknown in them.

    `text`: a whole rule set, that begins by deleting the tables.
    """
    wanted = _wanted(text)
    lines = []
    for family, names in wanted.items():
        found = _found(there.get(family, ()))
        if found is None:
            return ""
        lines.append(f"flush table {family} {TABLE}")  # the rules of all its chains; the chains stay
        lines += [f"delete {kind} {family} {TABLE} {name}" for kind, name in _in_order(found.keys() - names)]
        lines += [f"flush {kind} {family} {TABLE} {name}" for kind, name in _in_order(found.keys() & names) if found[kind, name]]
    return "\n".join([*lines, text[_begin(text) :]])


def _begin(text: str) -> int:
    block = _BLOCK.search(text)
    return block.start() if block else len(text)


def _wanted(text: str) -> dict[str, set[tuple[str, str]]]:
    """Return (kind, name) of all that a rule set has, by family."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    names: set[tuple[str, str]] = set()
    for line in text.splitlines():
        if block := _BLOCK.match(line):
            names = wanted.setdefault(block[1], set())
        elif named := _NAMED.match(line):
            names.add((named[1], named[2]))
    return wanted


def _found(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], bool] | None:
    """Return (kind, name) of all that a table has, and whether its elements are to be named anew; None for no table, or a strange one."""
    found: dict[tuple[str, str], bool] = {}
    is_there = False
    for row in rows:
        for kind, thing in row.items():
            if kind == "table":
                is_there = True
            elif kind in _KINDS:
                found[kind, str(thing["name"])] = kind in ("set", "map") and "timeout" not in thing.get("flags", ())
            elif kind not in ("rule", "metainfo"):
                return None
    return found if is_there else None


def _in_order(names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(names, key=lambda name: (_KINDS.index(name[0]), name[1]))
