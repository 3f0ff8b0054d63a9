"""Finds the records that instances carry and that the custody log may not have yet: after a crash the custody writer puts them in.

An instance is acknowledged when it is durable together with the text of its record; the log follows a moment later. Only what is whole
counts: a part of an instance that a power cut left was never acknowledged. What is returned is durable where it lies.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from wardgate.hold.files import Files
from wardgate.hold.header import MAX_HEAD, PREFIX_BYTES, head_size, parted
from wardgate.hold.mark import BLOCK, MARK_BYTES, Kind, Mark, aligned, decode_mark
from wardgate.hold.scan import is_logged, next_mark, segments
from wardgate.hold.seal import Damaged

MAX_CARRYING: Final = 1 << 20  # an instance that carries its record was written in one piece


class Carried(NamedTuple):
    """The record that an instance carries. `association`: 16 bytes."""

    association: bytes
    seq: int
    text: bytes


class Unlogged:
    """The queue below `directory`, as far as the custody writer looks into it."""

    def __init__(self, directory: str, files: Files | None = None) -> None:
        self._folder = os.path.join(directory, "queue")
        self._files = files or Files()

    def __call__(self, after: Mapping[bytes, int]) -> list[Carried]:
        """Return what instances carry for the associations in `after`, from behind these sequence numbers, in order. Raises `OSError`."""
        found: list[Carried] = []
        try:
            names = segments(self._folder)
        except FileNotFoundError:  # nothing was ever held
            return found
        for name in names:
            try:
                found += self._in(os.path.join(self._folder, name), after)
            except FileNotFoundError:  # the forwarder has removed it: everything in it was logged, and has gone
                continue
        if found:
            self._files.sync_directory(self._folder)
        return sorted(found)

    def _in(self, path: str, after: Mapping[bytes, int]) -> list[Carried]:
        generation = bytes.fromhex(os.path.basename(path)[:16])
        fd = self._files.look(path)
        try:
            if is_logged(fd, generation):
                return []
            found = [carried for mark, at in _marks(fd, generation) if (carried := _carried(fd, mark, at, after)) is not None]
            if found:
                self._files.sync(fd)
            return found
        finally:
            self._files.close(fd)


def carried_in(record: bytes) -> Carried:
    """Return the record whose text an instance carries. Raises `Damaged`."""
    try:
        fields = json.loads(record)
        carried = Carried(bytes.fromhex(fields["association"]), int(fields["seq"]), record)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("the record that the instance carries cannot be read") from error
    if len(carried.association) != 16 or carried.seq < 1:
        raise Damaged("the record that the instance carries is of no association")
    return carried


def _marks(fd: int, generation: bytes) -> Iterator[tuple[Mark, int]]:
    at, size = BLOCK, os.fstat(fd).st_size
    while at < size:
        mark = decode_mark(os.pread(fd, MARK_BYTES, at), generation)
        if mark is None:  # damaged, or never finished: what follows is found all the same
            at = next_mark(fd, generation, at + BLOCK, size)
            continue
        yield mark, at
        at = aligned(at + mark.length)


def _carried(fd: int, mark: Mark, at: int, after: Mapping[bytes, int]) -> Carried | None:
    if mark.kind is not Kind.KEPT or mark.check is None or mark.length > MAX_CARRYING:
        return None
    head = os.pread(fd, PREFIX_BYTES + MAX_HEAD, at + MARK_BYTES)
    try:
        carried = carried_in(parted(head[PREFIX_BYTES : PREFIX_BYTES + head_size(head[:PREFIX_BYTES])])[1])
    except Damaged:
        return None
    if carried.seq <= after.get(carried.association, carried.seq):
        return None
    whole = os.pread(fd, mark.length - MARK_BYTES, at + MARK_BYTES)
    return carried if len(whole) == mark.length - MARK_BYTES and zlib.crc32(whole) == mark.check else None
