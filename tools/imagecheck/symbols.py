"""Every BR2_ symbol that we use exists in the Buildroot tree, or in our own Config.in files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imagecheck.findings import EXTERNAL, Findings

_DECLARED = re.compile(r"^\s*(?:menu)?config\s+(BR2_\w+)", re.M)
_USED = re.compile(r"\bBR2_\w+")
# Given by Buildroot's Makefile, not by its configuration files.
_GIVEN = {"BR2_VERSION", "BR2_EXTERNAL", "BR2_CONFIG"}


def declared(tree: Path) -> set[str]:
    """Return every symbol of a tree."""
    found: set[str] = set()
    for folder, folders, files in os.walk(tree):
        folders[:] = [name for name in folders if name not in ("output", "dl", ".git", "docs")]
        for name in files:
            if name.startswith("Config.") and name != "Config.in.legacy":
                found.update(_DECLARED.findall(Path(folder, name).read_text(errors="replace")))
    return found


def used() -> list[tuple[Path, int, str]]:
    """Return file, line and symbol of every use in ours."""
    found = []
    files = [*EXTERNAL.glob("configs/*"), *EXTERNAL.glob("package/*/*"), EXTERNAL / "Config.in", EXTERNAL / "external.mk"]
    for path in sorted(files):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line if line.startswith(("# BR2_", "BR2_")) else line.split("#")[0]
            found += [(path, number, name) for name in _USED.findall(words)]
    return found


def check(tree: Path, findings: Findings) -> None:
    """Name each use of a symbol that nobody declares. Symbols of Config.in.legacy are gone and count as such."""
    known = declared(tree) | declared(EXTERNAL) | _GIVEN
    uses = used()
    for path, number, name in uses:
        if name not in known and not name.startswith("BR2_EXTERNAL_"):
            findings.mistake(path, f"line {number}: {name} is not in {tree.name}")
    findings.hold(f"{len({name for _, _, name in uses})} symbols, each in {tree.name} ({len(known)} there) or in ours")
