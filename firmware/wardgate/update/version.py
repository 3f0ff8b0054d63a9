"""Versions of releases: up to three numbers with dots, compared as numbers; RAUC (r_semver_parse) takes no more of them. Sans-IO."""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,2}")


def parse(text: str) -> tuple[int, ...]:
    """Return the numbers, without zeros at the end: 1.2 and 1.2.0 are the same. Raises `ValueError`."""
    if not _VERSION.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is no version: one to three numbers with dots")
    numbers = [int(word) for word in text.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_older(version: str, running: str) -> bool:
    """Is `version` before `running`? Raises `ValueError`."""
    return parse(version) < parse(running)
