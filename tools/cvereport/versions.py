"""Comparing versions: as dpkg does, as PEP 440 does, and for CPE, where nobody says how, by numbers and words."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

_PARTS: Final = re.compile(r"[0-9]+|[a-z]+")
_DIGITS: Final = re.compile(r"[0-9]*")
_BEFORE: Final = frozenset({"dev", "alpha", "beta", "pre", "preview", "rc"})  # one letter is a patch: OpenSSL 1.0.2a


def compare(scheme: str, first: str, second: str) -> int:
    """Return -1, 0 or 1. `scheme`: `deb`, `pypi`, or anything else for the general rule."""
    if scheme == "deb":
        return compare_debian(first, second)
    if scheme == "pypi":
        from packaging.version import InvalidVersion, Version

        try:
            one, other = Version(first), Version(second)
        except InvalidVersion:
            return compare_general(first, second)
        return (one > other) - (one < other)
    return compare_general(first, second)


def compare_general(first: str, second: str) -> int:
    """Numbers as numbers; a word of a preview is before the end, every other word (a patch letter, `p1`) behind it."""
    for one, other in zip_longest(_PARTS.findall(first.lower()), _PARTS.findall(second.lower()), fillvalue=""):
        left, right = _rank(one), _rank(other)
        if left != right:
            return 1 if left > right else -1
    return 0


def _rank(part: str) -> tuple[int, int, str]:
    if not part:
        return 1, 0, ""
    if part.isdigit():
        return (2, int(part), "") if int(part) else (1, 0, "")  # 1.0 is 1
    return (0, 0, part) if part in _BEFORE else (1, 1, part)


def compare_debian(first: str, second: str) -> int:
    """deb-version(7): epoch, upstream version, revision."""
    for one, other in zip(_debian(first), _debian(second), strict=True):
        if result := _verrevcmp(one, other):
            return result
    return 0


def _debian(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return epoch, upstream, revision


def _verrevcmp(first: str, second: str) -> int:
    """Letters and digits in turn, as dpkg walks through them."""
    i = j = 0
    while i < len(first) or j < len(second):
        while _is_word(first, i) or _is_word(second, j):
            one, other = _order(first[i : i + 1]), _order(second[j : j + 1])
            if one != other:
                return 1 if one > other else -1
            i, j = i + 1, j + 1
        left, right = _DIGITS.match(first, i), _DIGITS.match(second, j)
        assert left is not None and right is not None  # it matches nothing too
        one, other = int(left[0] or 0), int(right[0] or 0)
        if one != other:
            return 1 if one > other else -1
        i, j = left.end(), right.end()
    return 0


def _is_word(text: str, at: int) -> bool:
    return at < len(text) and not text[at].isdigit()


def _order(char: str) -> int:
    """`~` before the end, the end before letters, letters before the rest."""
    if char == "~":
        return -1
    if not char or char.isdigit():
        return 0
    return ord(char) if char.isalpha() else ord(char) + 256
