"""Modules of Python that Buildroot leaves out unless they are asked for: each that our programs import is asked for."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from imagecheck.assemble import boards, target
from imagecheck.findings import EXTERNAL, TREE, Findings

_PROGRAMS: Final = ("firmware/wardgate", "hsm/wardkeys")
# Module: the end of Buildroot's symbol (package/python3/Config.in).
_OPTIONAL: Final = {
    "bz2": "BZIP2",
    "curses": "CURSES",
    "decimal": "DECIMAL",
    "lzma": "XZ",
    "readline": "READLINE",
    "sqlite3": "SQLITE",
    "ssl": "SSL",
    "unicodedata": "UNICODEDATA",
    "xml": "PYEXPAT",
    "zlib": "ZLIB",
}


def imported(tree: Path = TREE) -> dict[str, Path]:
    """Return each module that our programs import, by its first word, with a file that does."""
    found: dict[str, Path] = {}
    for part in _PROGRAMS:
        for path in sorted((tree / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                else:
                    continue
                for name in names:
                    found.setdefault(name.split(".")[0], path)
    return found


def check(findings: Findings) -> None:
    """Name a module that some board's Python would not have."""
    modules = imported()
    selected = (EXTERNAL / "package/wardgate/Config.in").read_text().split()
    for board in boards():
        asked = target(board).read_text().splitlines() if target(board).is_file() else []
        for module, end in _OPTIONAL.items():
            symbol = f"BR2_PACKAGE_PYTHON3_{end}"
            if module in modules and symbol not in selected and f"{symbol}=y" not in asked:
                findings.mistake(modules[module], f"imports {module}, and {target(board).name} has no {symbol}")
    findings.hold(f"{len(modules)} modules of Python are imported; those that are optional in Buildroot are asked for")
