"""What is known of held instances beside their bytes: notes of the forwarder, appended to a file, durable by one sync for many.

notes-NUMBER   frames: 4 "WGN1" | u32 length | u32 CRC-32 of the payload | payload, JSON {"stem": NAME, WORD: value or null, ...}

A later note of a name adds to the earlier ones, word by word; null takes a word away. The files of a directory are read in the order of
their numbers. A frame that is torn or damaged is passed over. The forwarder (which alone writes) begins a new file with all that counts.
"""

from __future__ import annotations

import json
import os
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from wardgate.hold.files import Files

MAX_NOTE: Final = 8192
TURN_BYTES: Final = 4 << 20  # of a file: then a new one is begun
_NAME: Final = re.compile(r"notes-([0-9]{8})")
_MAGIC: Final = b"WGN1"
_FRAME: Final = struct.Struct(">4sII")

Facts = dict[str, Any]


def encode(stem: str, facts: Facts) -> bytes:
    """Return one frame. Raises `ValueError`: too long."""
    payload = json.dumps({"stem": stem, **facts}, separators=(",", ":")).encode("ascii")
    if len(payload) > MAX_NOTE:
        raise ValueError(f"a note of {len(payload)} bytes")
    return _FRAME.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def decode(data: bytes) -> Iterator[Facts]:
    """Yield the notes of a file; what is between good frames is passed over."""
    at = data.find(_MAGIC)
    while at >= 0:
        note, end = _one(data, at)
        if note is not None:
            yield note
        at = data.find(_MAGIC, end)


def _one(data: bytes, at: int) -> tuple[Facts | None, int]:
    if at + _FRAME.size > len(data):
        return None, at + 1
    _magic, length, crc = _FRAME.unpack_from(data, at)
    payload = data[at + _FRAME.size : at + _FRAME.size + length]
    if length > MAX_NOTE or len(payload) != length or zlib.crc32(payload) != crc:
        return None, at + 1
    try:
        note = json.loads(payload)
    except ValueError:
        return None, at + 1
    good = isinstance(note, dict) and isinstance(note.get("stem"), str)
    return (note if good else None), at + _FRAME.size + length


class Notes:
    """The notes of one directory in memory. `add` may be called while another thread is in `sync`.

    `there()` gives the names that count; what it leaves out must be off the disk for good when it returns.
    """

    def __init__(self, files: Files, directory: str, there: Callable[[], set[str]]) -> None:
        self._files = files
        self._directory = directory
        self._there = there
        self._facts: dict[str, Facts] = {}
        self._fd = -1
        self._size = 0
        self._anew = True  # the next `sync` begins a new file with all that counts
        self._dirty = False
        self._since: list[tuple[str, bytes]] | None = None  # names and frames that came while a new file was being begun
        self._lock = threading.Lock()  # of what is known; nobody waits for the disk under it
        self._syncing = threading.Lock()
        self.load()

    def load(self) -> None:
        """Read what is on the disk. Raises `OSError`."""
        self._facts = {}
        for _number, path in self._paths():
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except FileNotFoundError:  # the forwarder has just begun another
                continue
            for note in decode(data):
                self._take(note.pop("stem"), note)

    def of(self, stem: str) -> Facts:
        """Return what is known of a name; not to be changed."""
        return self._facts.get(stem, {})

    def add(self, stem: str, facts: Facts) -> None:
        """Write a note; it is durable after `sync`. Raises `OSError`: nothing is known then that was not before."""
        frame = encode(stem, facts)
        with self._lock:
            error = self._write(stem, frame)
            if error is not None:
                raise error
            self._take(stem, facts)
            self._dirty = True

    def keep(self, stem: str, facts: Facts) -> OSError | None:
        """Know it whatever the disk says, for what cannot be taken back. Return why it is not written: a later `sync` writes all anew."""
        frame = encode(stem, facts)
        with self._lock:
            error = self._write(stem, frame)
            self._take(stem, facts)
            self._dirty = True
        return error

    def _write(self, stem: str, frame: bytes) -> OSError | None:
        if self._since is not None:
            self._since.append((stem, frame))
            return None
        if self._anew:
            return None
        try:
            self._files.write(self._fd, frame)
        except OSError as error:
            self._anew = True  # a part of it may be there
            return error
        self._size += len(frame)
        return None

    def sync(self) -> None:
        """Make everything added before durable. Raises `OSError`: the kernel may have dropped it, the next call writes all of it anew."""
        with self._syncing:
            with self._lock:
                if not self._dirty:
                    return
                self._dirty = False
                turns = self._anew or self._size > TURN_BYTES
                if turns:
                    self._since = []
                    before = {stem: dict(known) for stem, known in self._facts.items()}
            if turns:
                self._turn(before)
                return
            try:
                self._files.sync(self._fd)
            except OSError:
                with self._lock:
                    self._anew = self._dirty = True
                raise

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._anew = True
            self._files.close(fd)

    def _take(self, stem: str, facts: Facts) -> None:
        known = self._facts.setdefault(stem, {})
        for word, value in facts.items():
            if value is None:
                known.pop(word, None)
            else:
                known[word] = value

    def _turn(self, before: dict[str, Facts]) -> None:
        """Begin a new file with all that counts of `before`, durable, then remove the older ones. What came meanwhile goes behind it."""
        fd = -1
        try:
            there = self._there()
            older = self._paths()
            facts = {stem: known for stem, known in before.items() if stem in there and known}
            data = b"".join(encode(stem, known) for stem, known in facts.items())
            path = os.path.join(self._directory, f"notes-{(older[-1][0] if older else 0) + 1:08d}")
            self._files.write_whole(path, data)
            fd = self._files.append(path)
        finally:
            with self._lock:
                since, self._since = self._since or [], None
                self._anew = True  # until all is behind it
                if fd < 0:
                    self._dirty = True
                else:
                    self.close()
                    self._fd = fd
                    self._size = len(data) + sum(len(frame) for _stem, frame in since)
                    self._files.write(fd, b"".join(frame for _stem, frame in since))
                    for stem in before.keys() - facts.keys() - {stem for stem, _frame in since}:
                        self._facts.pop(stem, None)
                    self._anew = False
        for _number, old in older:
            self._files.unlink(old)

    def _paths(self) -> list[tuple[int, str]]:
        found = ((_NAME.fullmatch(name), name) for name in os.listdir(self._directory))
        return sorted((int(match[1]), os.path.join(self._directory, name)) for match, name in found if match)
