"""Our own part, and the Python packages that it needs on the box (docs/runtime.md)."""

from __future__ import annotations

import hashlib
import os
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, Final

TREE: Final = Path(__file__).parents[2]
_PARTS: Final = {"wardgate": "firmware/wardgate", "wardkeys": "hsm/wardkeys", "wardkeys-provider": "hsm/provider"}
# What `import` finds on the box beside the standard library. cffi and pycparser come with cryptography.
NEEDED: Final = ("cryptography", "cffi", "pycparser")


def version() -> str:
    """Return the version of the image, as image/common/finish.sh has it: that of the release, else the tree's."""
    return os.environ.get("WARDGATE_VERSION") or str(tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"])


def components(known: dict[str, str]) -> list[dict[str, Any]]:
    """Return our parts and the packages of `NEEDED`. `known`: their versions in the image, by name; else those of this environment."""
    number = version()
    found: list[dict[str, Any]] = []
    for name, folder in _PARTS.items():
        found.append(
            {
                "bom-ref": f"ours:{name}",
                "type": "application",
                "name": name,
                "version": number,
                "purl": f"pkg:generic/{name}@{number}",
                "properties": [{"name": "wardgate:sources:sha256", "value": digest(TREE / folder)}],
            }
        )
    for name in NEEDED:
        wanted, where = (known[name], "image") if name in known else (_here(name), "development environment")
        if wanted:
            found.append(
                {
                    "bom-ref": f"pypi:{name}",
                    "type": "library",
                    "name": name,
                    "version": wanted,
                    "purl": f"pkg:pypi/{name}@{wanted}",
                    "properties": [{"name": "wardgate:version-from", "value": where}],
                }
            )
    return found


def digest(folder: Path) -> str:
    """Return SHA-256 over path and content of every source file below `folder`."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"):
        total.update(f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _here(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
