"""The journal of storage commitment: entries of the book, durable in the order in which they were made.

    frame    "WGCJ" | u32 length | u32 CRC-32 of the JSON | JSON (ASCII), one entry

It begins with entries that make the book as it was when the journal was last shortened, then what came. A frame that is cut or does not
fit its CRC ends it: nothing behind it was ever acted upon, if it is the tail of a write that was under way; if something good follows, the
file was damaged, is put aside under `.damaged`, and what can be read before it counts. What is lost that way is asked for again or never
claimed.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from wardgate.hold.commitment.book import Entry
from wardgate.hold.files import Files

MAGIC: Final = b"WGCJ"
MAX_ENTRY: Final = 16 << 20
SHORTEN_BYTES: Final = 4 << 20  # grown by that much more than it had when it was shortened last: shortened again
_HEAD: Final = struct.Struct(">4sII")


class Found(NamedTuple):
    """What a journal holds. `good`: bytes of it that can be read; `damaged`: something good stands behind something bad."""

    entries: list[Entry]
    good: int
    damaged: bool


def frames(entries: Iterable[Entry]) -> bytes:
    """Return the frames of `entries`. Raises `ValueError` for one beyond the bound."""
    return b"".join(map(frame, entries))


def frame(entry: Entry) -> bytes:
    """Return one frame. Raises `ValueError` for an entry beyond the bound."""
    text = json.dumps(entry, separators=(",", ":")).encode("ascii")
    if len(text) > MAX_ENTRY:
        raise ValueError(f"an entry of {len(text)} bytes")
    return _HEAD.pack(MAGIC, len(text), zlib.crc32(text)) + text


def read(data: bytes) -> Found:
    """Return the entries of a journal."""
    entries: list[Entry] = []
    at = 0
    while (found := _frame(data, at)) is not None:
        entry, at = found
        entries.append(entry)
    behind = data.find(MAGIC, at + 1)
    while behind >= 0 and _frame(data, behind) is None:
        behind = data.find(MAGIC, behind + 1)
    return Found(entries, at, behind >= 0)


def _frame(data: bytes, at: int) -> tuple[Entry, int] | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, length, checksum = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if magic != MAGIC or length > MAX_ENTRY or end > len(data):
        return None
    text = data[at + _HEAD.size : end]
    if zlib.crc32(text) != checksum:
        return None
    entry = json.loads(text)
    return (entry, end) if isinstance(entry, dict) else None


class Journal:
    """The file. Blocking: `append` and `shorten` are called from one thread beside the loop. After an error only `shorten` mends it."""

    def __init__(self, path: str, files: Files) -> None:
        self._path = path
        self._files = files
        self._fd = -1
        self._size = 0
        self._began = 0  # its size when it was shortened
        self.sound = False

    def open(self) -> Found:
        """Return what is there; nothing is written. Raises `OSError`."""
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        return read(data)

    def set_aside(self) -> None:
        """Keep a damaged journal under another name. Raises `OSError`."""
        self._files.rename(self._path, f"{self._path}.damaged")
        self._files.sync_directory(os.path.dirname(self._path))

    @property
    def long(self) -> bool:
        """Is it worth being shortened?"""
        return not self.sound or self._size > 2 * self._began + SHORTEN_BYTES

    def append(self, data: bytes) -> None:
        """Make frames durable. Raises `OSError`: then nothing is known of them, and the journal is not sound."""
        sound, self.sound = self.sound, False
        if not sound:
            raise OSError(5, "the journal is to be written anew")
        self._files.write_at(self._fd, data, self._size)
        self._files.sync(self._fd)
        self._size += len(data)
        self.sound = True

    def shorten(self, data: bytes) -> None:
        """Put a journal of these frames in place of what is there; durable when it returns. Raises `OSError`: the old one stays."""
        self.sound = False
        self.close()
        self._files.write_whole(self._path, data)
        self._fd = self._files.open(self._path)
        self._size = self._began = len(data)
        self.sound = True

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
