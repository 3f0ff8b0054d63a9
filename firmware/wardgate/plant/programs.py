"""Runs nft and ip. Rule sets go in on standard input: no shell, no file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any, Final

_SECONDS: Final = 20
_MAX_TEXT: Final = 2000


class ProgramError(Exception):
    """A program failed; the text is its first words."""


def run(argv: Iterable[str], given: str = "") -> str:
    """Run a program and return its output. Raises `ProgramError`."""
    words = list(argv)
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(f"{words[0]}: {error}") from error
    if done.returncode:
        raise ProgramError(f"{' '.join(words[:6])}: {(done.stderr or done.stdout).strip()[:_MAX_TEXT]}")
    return done.stdout


def nft_check(text: str) -> None:
    """Let the kernel judge a rule set without taking it. Raises `ProgramError`."""
    run(("nft", "-c", "-f", "-"), text)


def nft_apply(text: str) -> None:
    """Apply a rule set, whole or not at all. Raises `ProgramError`."""
    run(("nft", "-f", "-"), text)


def nft_json(*words: str) -> list[dict[str, Any]]:
    """Return what `nft -j list ...` lists; nothing when it is not there."""
    try:
        listed = json.loads(run(("nft", "-j", "list", *words)))
    except (ProgramError, ValueError):
        return []
    found = listed.get("nftables", [])
    return found if isinstance(found, list) else []


def ip_batch(lines: Iterable[str], force: bool = False, family: str = "") -> None:
    """Run several `ip` commands in one program; `force`: go on after one that fails; `family`: `-4` or `-6`. Raises `ProgramError`."""
    options = ([family] if family else []) + (["-force"] if force else [])
    try:
        run(("ip", *options, "-batch", "-"), "".join(f"{line}\n" for line in lines))
    except ProgramError:
        if not force:
            raise


def ip_json(*words: str) -> list[dict[str, Any]]:
    """Return what `ip -j ...` shows; nothing when it fails."""
    try:
        listed = json.loads(run(("ip", "-j", "-d", *words)) or "[]")
    except (ProgramError, ValueError):
        return []
    return listed if isinstance(listed, list) else []
