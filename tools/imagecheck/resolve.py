"""Buildroot's own kconfig takes each configuration and keeps what it says: unmet dependencies drop a symbol without a word otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from imagecheck import options
from imagecheck.assemble import boards, target
from imagecheck.findings import EXTERNAL, Findings

_SECONDS = 900


def resolved(tree: Path, defconfig: Path, output: Path) -> dict[str, str]:
    """Return symbol -> value of the whole configuration. Raises `RuntimeError` with the last words of make."""
    argv = ["make", "-C", str(tree), f"O={output}", f"BR2_EXTERNAL={EXTERNAL}", f"BR2_DEFCONFIG={defconfig}", "defconfig"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BR2_", "MAKE", "MFLAGS"))}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-600:])
    return values((output / ".config").read_text())


def values(text: str) -> dict[str, str]:
    """Return symbol -> value; `n` for `# X is not set`."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# BR2_") and line.endswith(" is not set"):
            found[line[2 : -len(" is not set")]] = "n"
        elif line.startswith("BR2_"):
            name, _, value = line.partition("=")
            found[name] = value
    return found


def check(tree: Path, findings: Findings) -> None:
    """Name each symbol that does not come out as written."""
    if not all(shutil.which(tool) for tool in ("make", "gcc")):
        findings.skip("configurations through Buildroot's kconfig", "make or gcc is not installed")
        return
    for board in boards():
        with tempfile.TemporaryDirectory(prefix="wg-") as folder:
            try:
                whole = resolved(tree, target(board), Path(folder))
                options.check(tree, Path(folder), board, findings)
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                findings.mistake(target(board), f"kconfig does not take it: {error}")
                continue
        for name, value in values(target(board).read_text()).items():
            got = whole.get(name, "n")
            if got != value and not (value == '""' and got == "n"):
                findings.mistake(target(board), f"{name}={value} comes out as {got}: a dependency is missing, or the symbol is forced")
        findings.hold(f"{board}: every word comes out of kconfig as written")
