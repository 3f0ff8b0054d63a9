"""`configs/*_defconfig` are made of parts: board, toolchain of the architecture, common.

`python -m imagecheck.assemble` writes them; with a board (and a toolchain's fragment) it prints that one.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from imagecheck.findings import EXTERNAL, Findings


def boards() -> list[str]:
    """Return the boards, by the names of their folders."""
    return sorted(path.parent.name for path in (EXTERNAL / "board").glob("*/board.config"))


def settings(board: str) -> dict[str, object]:
    """Return the board's `board.toml`."""
    return tomllib.loads((EXTERNAL / "board" / board / "board.toml").read_text())


def parts(board: str, toolchain: Path | None = None) -> list[Path]:
    """Return the files that a board's configuration is made of; `toolchain` replaces ours."""
    ours = EXTERNAL / "parts" / f"toolchain-{settings(board)['arch']}.config"
    return [EXTERNAL / "board" / board / "board.config", toolchain or ours, EXTERNAL / "parts" / "common.config"]


def assembled(board: str, toolchain: Path | None = None) -> str:
    """Return the configuration of a board."""
    return "".join(path.read_text() for path in parts(board, toolchain))


def target(board: str) -> Path:
    """Return where it lies."""
    return EXTERNAL / "configs" / f"wardgate_{board}_defconfig"


def check(findings: Findings) -> None:
    """Every defconfig is what its parts make, and names each symbol once."""
    for board in boards():
        text = assembled(board)
        if not target(board).is_file() or target(board).read_text() != text:
            findings.mistake(target(board), "is not what its parts make: make image-configs")
        names = [line.split("=")[0].removeprefix("# ").split(" ")[0] for line in text.splitlines() if "BR2_" in line.split("=")[0]]
        for name in sorted({name for name in names if names.count(name) > 1}):
            findings.mistake(target(board), f"{name} stands there twice")
    stray = {path.name for path in (EXTERNAL / "configs").iterdir()} - {target(board).name for board in boards()}
    for name in sorted(stray):
        findings.mistake(EXTERNAL / "configs" / name, "no board of that name")
    findings.hold(f"{len(boards())} configurations are what their parts make")


def main(words: list[str]) -> int:
    """Write all, or print one."""
    if words and words[0] not in boards():
        sys.stderr.write(f"boards: {' '.join(boards())}\n")
        return 2
    if words:
        sys.stdout.write(assembled(words[0], Path(words[1]) if words[1:] else None))
        return 0
    for board in boards():
        target(board).write_text(assembled(board))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
