"""genimage's configuration from `partitions.toml`:
`layout.py esp|env|boot|root|state|vault=FILE ... [--board=BOARD.TOML] [--loader OFFSET=FILE ...] >FILE`.

Standard library only: Buildroot's own host Python runs it, and so does Debian's. A partition whose image is not given stays empty.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TABLE = HERE / "partitions.toml"
# GPT partition types by the letters of sfdisk; F is Microsoft basic data (FAT).
TYPES = {
    "U": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "L": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "F": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
}
HOLDS = ("esp", "env", "boot", "root", "data")
FIRST_MEBIBYTES = 16  # loaders of ARM boards lie below


def settings(board: str) -> Path:
    """Return the file of a board."""
    return HERE.parents[1] / "board" / board / "board.toml"


def partitions(board: Path | None = None, path: Path = TABLE) -> list[dict[str, Any]]:
    """Return the partitions in order. `board`: its board.toml, whose `boot_mebibytes` goes before the table's and whose loader says which
    of the first two it has (none given: one with UEFI). Raises `ValueError` that names what is wrong."""
    said = tomllib.loads(board.read_text()) if board is not None else {}
    boot, loader = said.get("boot_mebibytes"), said.get("bootloader", "grub")
    found: list[dict[str, Any]] = tomllib.loads(path.read_text())["partition"]
    found = [entry for entry in found if entry.get("loader", loader) == loader]
    for entry in found:
        if boot is not None and entry["holds"] == "boot":
            entry["mebibytes"] = boot
    names = [entry["name"] for entry in found]
    if len(set(names)) != len(names):
        raise ValueError("two partitions have one name")
    for entry in found:
        if entry["type"] not in TYPES or entry["mebibytes"] < 1 or entry["holds"] not in HOLDS:
            raise ValueError(f"partition {entry['name']}: type, size or contents")
    for holds in ("boot", "root"):
        sizes = {entry["mebibytes"] for entry in found if entry["holds"] == holds}
        if len(sizes) != 1 or {entry.get("slot") for entry in found if entry["holds"] == holds} != {"a", "b"}:
            raise ValueError(f"the two {holds} slots must be there and equal in size")
    return found


def place(name: str, board: Path | None = None) -> tuple[int, int]:
    """Return offset and size of a partition on the disk, bytes. Raises `KeyError`."""
    offset = FIRST_MEBIBYTES
    for entry in partitions(board):
        if entry["name"] == name:
            return offset << 20, entry["mebibytes"] << 20
        offset += entry["mebibytes"]
    raise KeyError(name)


def genimage(images: dict[str, str], loaders: dict[str, str] | None = None, board: Path | None = None) -> str:
    """Return genimage's text for `wardgate.img`. `images`: what lies there to its file; slot b stays empty."""
    lines = ["image wardgate.img {", "\thdimage {", '\t\tpartition-table-type = "gpt"', "\t}"]
    for number, (place, file) in enumerate((loaders or {}).items()):
        lines += [
            f"\tpartition loader{number} {{",
            '\t\tin-partition-table = "no"',
            f"\t\toffset = {place}",
            f'\t\timage = "{file}"',
            "\t}",
        ]
    offset = FIRST_MEBIBYTES
    for entry in partitions(board):
        lines += [f"\tpartition {entry['name']} {{", f'\t\tpartition-type-uuid = "{TYPES[entry["type"]]}"']
        lines += [f"\t\toffset = {offset}M", f"\t\tsize = {entry['mebibytes']}M"]
        image = images.get(entry["name"] if entry["holds"] == "data" else entry["holds"])
        if image is not None and entry.get("slot") != "b":
            lines.append(f'\t\timage = "{image}"')
        lines.append("\t}")
        offset += entry["mebibytes"]
    return "\n".join([*lines, "}", ""])


def main(words: list[str]) -> int:
    """Write the configuration to standard output."""
    images: dict[str, str] = {}
    loaders: dict[str, str] = {}
    into = images
    board: Path | None = None
    for word in words:
        if word == "--loader":
            into = loaders
            continue
        if word.startswith("--board="):
            board = Path(word.removeprefix("--board="))
            continue
        key, equals, value = word.partition("=")
        if not equals or (into is images and key not in ("esp", "env", "boot", "root", "state", "vault")):
            sys.stderr.write(f"{__doc__}\n")
            return 2
        into[key] = value
    sys.stdout.write(genimage(images, loaders, board))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
