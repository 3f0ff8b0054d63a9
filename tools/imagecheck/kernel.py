"""The kernel fragments of each board against a kernel tree: every name is there, and the kernel's own kconfig keeps every word.

A word whose dependency is missing vanishes without a word otherwise, and the box boots without its firewall.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from imagecheck.assemble import boards, settings
from imagecheck.findings import EXTERNAL, Findings

_DECLARED: Final = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.M)
_FRAGMENTS: Final = re.compile(r'^BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES="([^"]*)"$', re.M)
_ARCH: Final = {"x86_64": "x86_64", "aarch64": "arm64"}
_CROSS: Final = {"x86_64": "", "aarch64": "aarch64-linux-gnu-"}
_SECONDS: Final = 300


def fragments(board: str) -> list[Path]:
    """Return the fragments of a board in their order."""
    named = _FRAGMENTS.search((EXTERNAL / "board" / board / "board.config").read_text())
    return [EXTERNAL / name.replace("$(BR2_EXTERNAL_WARDGATE_PATH)/", "") for name in named[1].split()] if named else []


def words(paths: list[Path]) -> dict[str, str]:
    """Return name -> value of what fragments say, without CONFIG_; `n` for what is not set."""
    found = {}
    for path in paths:
        for line in path.read_text().splitlines():
            if line.startswith("# CONFIG_") and line.endswith(" is not set"):
                found[line[len("# CONFIG_") : -len(" is not set")]] = "n"
            elif line.startswith("CONFIG_"):
                name, _, value = line.removeprefix("CONFIG_").partition("=")
                found[name] = value
    return found


def declared(tree: Path) -> set[str]:
    """Return every name that a kernel tree has."""
    found: set[str] = set()
    for folder, folders, names in os.walk(tree):
        folders[:] = [name for name in folders if name not in ("Documentation", ".git", "tools")]
        for name in names:
            if name.startswith("Kconfig"):
                found.update(_DECLARED.findall(Path(folder, name).read_text(errors="replace")))
    return found


def check(tree: Path, findings: Findings) -> None:
    """Name each word that the kernel does not know or does not keep."""
    if not (tree / "Kconfig").is_file():
        findings.mistake(str(tree), "is no kernel tree")
        return
    known = declared(tree)
    every = {name: path for board in boards() for path in fragments(board) for name in words([path])}
    for name, path in sorted(every.items()):
        if name not in known:
            findings.mistake(path, f"CONFIG_{name} is not in {version(tree)}")
    findings.hold(f"{len(every)} kernel names, each in {version(tree)} ({len(known)} there)")
    missing = [tool for tool in ("make", "gcc", "flex", "bison") if shutil.which(tool) is None]
    if missing:
        findings.skip("values through the kernel's kconfig", f"not installed: {' '.join(missing)} (apt-get install flex bison)")
        return
    for board in boards():
        _keep(tree, board, findings)


def configure(tree: Path, board: str, folder: Path) -> list[str]:
    """Make the configuration of a board in `folder` as Buildroot does: the architecture's own, our fragments behind it.

    Returns the words of `make` for that folder. Raises `RuntimeError` with what kconfig says.
    """
    arch = str(settings(board)["arch"])
    cross = _CROSS[arch] if shutil.which(f"{_CROSS[arch]}gcc") else ""
    make = ["make", "-s", "-C", str(tree), f"O={folder}", f"ARCH={_ARCH[arch]}", f"CROSS_COMPILE={cross}"]
    run([*make, "defconfig"])
    with (folder / ".config").open("a") as file:
        file.writelines(path.read_text() for path in fragments(board))
    run([*make, "olddefconfig"])
    return make


def lost(board: str, folder: Path) -> list[tuple[str, str, str]]:
    """Return name, our value and kconfig's, of each word of a board that did not come out as written."""
    got = words([folder / ".config"])
    return [(name, value, got.get(name, "n")) for name, value in sorted(words(fragments(board)).items()) if got.get(name, "n") != value]


def _keep(tree: Path, board: str, findings: Findings) -> None:
    with tempfile.TemporaryDirectory(prefix="wg-") as folder:
        try:
            configure(tree, board, Path(folder))
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            findings.mistake(EXTERNAL / "board" / board, f"kconfig does not take it: {error}")
            return
        for name, value, got in lost(board, Path(folder)):
            findings.mistake(EXTERNAL / "board" / board, f"CONFIG_{name}={value} comes out as {got}: a dependency, or it is forced")
    findings.hold(f"{board}: {len(words(fragments(board)))} words come out of the kernel's kconfig as written")


def run(argv: list[str], seconds: float = _SECONDS) -> None:
    """Run `make` as from a shell of its own. Raises `RuntimeError` with its last words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "KCONFIG_"))}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, env=environment)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-600:])


def version(tree: Path) -> str:
    """Return the version of a kernel tree."""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", (tree / "Makefile").read_text(), re.M))
    return f"Linux {found.get('VERSION')}.{found.get('PATCHLEVEL')}.{found.get('SUBLEVEL')}"
