"""What the read-only root says of itself: board and version, written when the image is made."""

from __future__ import annotations

from typing import Final

from wardgate.custody.files import read_file

PATH: Final = "/usr/lib/os-release"
VERSION: Final = "IMAGE_VERSION"
BOARD: Final = "IMAGE_ID"


def word(wanted: str, path: str = PATH) -> str:
    """Return one word of os-release. Raises `LookupError`, `OSError`."""
    for line in read_file(path, 65536).decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name == wanted:
            return value.strip('"')
    raise LookupError(f"no {wanted} in {path}")
