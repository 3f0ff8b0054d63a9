"""The manifest of copies: which files lay there before a migration, and what they were. Sans-IO.

Every release reads the manifest of every later one: this form does not change.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final, NamedTuple

from wardgate.migration.areas import OWN, Area, refusal
from wardgate.migration.plan import MAX_BYTES, MAX_FILES
from wardgate.migration.steps import FIRST

MAX_MANIFEST: Final = 32768
NUMBER: Final = f"{OWN}/format"  # of the area; the last of the copies, so that it goes last
_MAX_NUMBER: Final = 1_000_000


class CopiesError(ValueError):
    """The manifest, or a copy, is not what was kept."""


class Copy(NamedTuple):
    """One file before the migration. `digest`: SHA-256, hex; "" when the file was not there. `size`: bytes; `mode`: its permissions."""

    path: str
    digest: str = ""
    size: int = 0
    mode: int = 0o640

    @property
    def was_there(self) -> bool:
        """Was there such a file?"""
        return self.digest != ""

    def is_of(self, data: bytes) -> bool:
        """Is this what was copied?"""
        return len(data) == self.size and sha256(data).hexdigest() == self.digest


class Copies(NamedTuple):
    """All of one migration. `release`: the version that migrated."""

    area: Area
    start: int
    to: int
    release: str
    files: tuple[Copy, ...]


def copy_of(path: str, data: bytes | None, mode: int) -> Copy:
    """Return the entry of a file."""
    return Copy(path) if data is None else Copy(path, sha256(data).hexdigest(), len(data), mode)


def write(copies: Copies) -> bytes:
    """Return the manifest: its own SHA-256 in the first line, then JSON."""
    table = {"v": 1, "area": copies.area.value, "from": copies.start, "to": copies.to, "release": copies.release}
    body = json.dumps({**table, "files": [list(file) for file in copies.files]}, indent=1).encode("ascii") + b"\n"
    return sha256(body).hexdigest().encode("ascii") + b"\n" + body


def read(data: bytes, area: Area) -> Copies:
    """Return what a manifest says. Raises `CopiesError`."""
    digest, _, body = data.partition(b"\n")
    if digest != sha256(body).hexdigest().encode("ascii"):
        raise CopiesError("the manifest is damaged")
    try:
        table = json.loads(body)
        if table["v"] != 1 or table["area"] != area.value or type(table["release"]) is not str:
            raise CopiesError("not a manifest of this area")
        start, to = table["from"], table["to"]
        if not (type(start) is int and type(to) is int and 0 < start < to <= _MAX_NUMBER):
            raise CopiesError("numbers that cannot be")
        found = Copies(area, start, to, table["release"][:64], tuple(_copy(area, row) for row in table["files"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise error if isinstance(error, CopiesError) else CopiesError(f"not a manifest: {error}") from error
    paths = [file.path for file in found.files]
    if len(set(paths)) != len(paths) or paths[-1:] != [NUMBER] or len(paths) > MAX_FILES + 1:
        raise CopiesError("files twice, too many, or without the number")
    number = found.files[-1]
    if not (number.is_of(number_text(start)) if number.was_there else start == FIRST):
        raise CopiesError("the number that was there is another one")
    if sum(file.size for file in found.files) > MAX_BYTES + 16:
        raise CopiesError("more bytes than may be kept")
    return found


def _copy(area: Area, row: Any) -> Copy:
    path, digest, size, mode = row
    if not (type(path) is str and type(digest) is str and type(size) is int and type(mode) is int):
        raise CopiesError("words of the wrong kind")
    # What may not be migrated is not put back either, whoever wrote the manifest.
    if (path != NUMBER and refusal(area, path)) or len(digest) not in (0, 64) or not (0 <= size <= MAX_BYTES and 0 <= mode <= 0o777):
        raise CopiesError(f"{path[:80]}: no file that can have been copied")
    return Copy(path, digest, size, mode)


def parse_number(data: bytes) -> int:
    """Return the number in the file `format`. Raises `CopiesError`."""
    text = data.decode("ascii", "replace")
    number = text.removesuffix("\n")
    if not (number.isascii() and number.isdecimal() and 0 < int(number) <= _MAX_NUMBER):
        raise CopiesError(f"the area's format number is {text[:20]!r}")
    return int(number)


def number_text(number: int) -> bytes:
    """Return the file `format`."""
    return f"{number}\n".encode("ascii")
