"""The pinned Buildroot: what `buildroot.pin` says, and whether a tree is that one. `python3 pin.py DIR` prints a tree's digest."""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from pathlib import Path

PIN = Path(__file__).parents[2] / "image" / "buildroot" / "buildroot.pin"
# A release archive adds the built manual; builds and git leave these at the top.
_LEFT_OUT = {"docs", "output", "dl", ".git", ".config", ".config.old", "..config.tmp"}


def pinned() -> dict[str, str]:
    """Return version, url, commit, tree, files."""
    return {key: str(value) for key, value in tomllib.loads(PIN.read_text()).items()}


def version(tree: Path) -> str:
    """Return the version that a tree says it is, empty when it is no Buildroot."""
    makefile = tree / "Makefile"
    found = re.search(r"^export BR2_VERSION := (\S+)$", makefile.read_text(errors="replace"), re.M) if makefile.is_file() else None
    return found[1] if found else ""


def digest(tree: Path) -> str:
    """Return SHA-256 over path, kind and content of every file but those of `docs`, in the order of their paths."""
    total = hashlib.sha256()
    paths = []
    for top in tree.iterdir():
        if top.name not in _LEFT_OUT:
            paths += (
                [top]
                if not top.is_dir() or top.is_symlink()
                else [path for path in top.rglob("*") if not path.is_dir() or path.is_symlink()]
            )
    for name, path in sorted((path.relative_to(tree).as_posix(), path) for path in paths):
        if name.endswith(".pyc"):
            continue
        if path.is_symlink():
            kind, content = "link", str(path.readlink()).encode()
        else:
            kind, content = ("exec" if path.stat().st_mode & 0o100 else "file"), path.read_bytes()
        total.update(f"{kind} {name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(f"{version(Path(sys.argv[1]))} {digest(Path(sys.argv[1]))}\n")
