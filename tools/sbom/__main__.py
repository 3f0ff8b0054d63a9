"""`python -m sbom OUT [--board BOARD] [--debian-root DIR | --buildroot DIR]` (`make sbom`): the bill of materials, validated."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from imagecheck.assemble import boards
from sbom import buildroot, debian, ours
from sbom.merge import merged, unused, validate
from sbom.vex import VexError, read

VEX = ours.TREE / "image" / "vex"


def main(words: list[str]) -> int:
    """Write it; return 1 when something cannot be made or does not validate, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="make sbom", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--board", default="qemu_x86_64")
    parser.add_argument("--debian-root", type=Path, help="a root of Debian packages, in Buildroot's place")
    parser.add_argument("--buildroot", type=Path, help="the pinned tree")
    options = parser.parse_args(words)
    board = options.board.replace("-", "_")
    if board not in boards():
        return _no(f"BOARD={options.board} is none of {' '.join(boards())}", 2)
    if options.buildroot is not None and options.debian_root is not None:
        return _no("BUILDROOT_DIR= and DEBIAN_ROOT= are two images: give one", 2)
    try:
        statements = read(VEX)
        if options.buildroot is not None:
            part = buildroot.of_tree(options.buildroot.resolve(), board)
        elif options.debian_root is not None:
            part = {"components": debian.of_root(options.debian_root)}
        else:
            part = {"components": []}
            sys.stderr.write("sbom: no BUILDROOT_DIR= and no DEBIAN_ROOT=: our own part alone\n")
        document = whole(part, board, statements)
    except (RuntimeError, OSError, ValueError, VexError, subprocess.TimeoutExpired) as error:
        return _no(str(error), 1)
    if wrong := validate(document):
        return _no(f"not CycloneDX 1.6: {wrong}", 1)
    for statement in unused(document, statements) if part["components"] else ():
        sys.stderr.write(
            f"sbom: image/vex: {statement.id} of {statement.name} answers nothing here: no component of that name and version\n"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    inside = sum(one.get("scope") != "excluded" for one in document["components"])
    sys.stdout.write(f"{options.out}: {inside} components in the image, {len(document['components']) - inside} that only build it\n")
    return 0


def _no(text: str, status: int) -> int:
    sys.stderr.write(f"sbom: {text}\n")
    return status


def whole(part: dict[str, Any], board: str, statements: list[Any]) -> dict[str, Any]:
    """Return the merged document of an image."""
    own = {"components": ours.components(python_versions(part))}
    moment = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return merged(f"wardgate-{board}", ours.version(), moment, (part, own), statements)


def python_versions(part: dict[str, Any]) -> dict[str, str]:
    """Return the versions of Python packages in an image, by their names on PyPI: Buildroot's `python-X`, Debian's `python3-X`."""
    found = {}
    for one in part["components"]:
        if one.get("scope") == "excluded":
            continue
        for start in ("python3-", "python-"):
            if one["name"].startswith(start):
                version = str(one.get("version", ""))
                found[one["name"].removeprefix(start)] = _upstream(version) if start == "python3-" else version
    return found


def _upstream(version: str) -> str:
    """Of a Debian version: without epoch and revision."""
    return version.rpartition(":")[2].rpartition("-")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
