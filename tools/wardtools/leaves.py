"""Hashes the entries of a log again, stretch by stretch, and follows their records; a stretch is all that one level 1 tile is over.

A stretch needs nothing but the files, so stretches are given to as many processes as there are processors.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from wardgate.custody.tiles import HASH, WIDTH, TileError, read_tile, tile_path
from wardtools.logdir import LogDirectory
from wardtools.pairs import Stretch

BUNDLES: Final = WIDTH  # in a stretch


class Bundle(NamedTuple):
    """A bundle that is not as its tile has it. `hashes`: of its entries; `entry_error`, `tile_error`: why it could not be read."""

    number: int
    hashes: list[bytes]
    tile: bytes
    entry_error: str = ""
    tile_error: str = ""
    missing: bool = False  # there is no such file


class Checked(NamedTuple):
    """A stretch that was hashed. `tops`: of its full bundles; `edge`: the hashes of a last one that is not full."""

    tops: list[bytes]
    edge: list[bytes]
    bad: list[Bundle]
    pairs: Stretch


def top_of(hashes: list[bytes]) -> bytes:
    """Return the root over 2**n hashes."""
    hashed = sha256
    while len(hashes) > 1:
        it = iter(hashes)
        hashes = [hashed(b"\x01" + left + right).digest() for left, right in zip(it, it, strict=True)]
    return hashes[0]


def split(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [tile[at : at + HASH] for at in range(0, len(tile), HASH)]


def check_stretch(path: Path, size: int, number: int, strict: bool = False) -> Checked:
    """Hash stretch `number` of the log at `path` as its tree of `size` entries has it. `strict`: read every field of every record."""
    log = LogDirectory(path)
    first = number * BUNDLES
    pairs = Stretch(first * WIDTH)
    tops: list[bytes] = []
    edge: list[bytes] = []
    bad: list[Bundle] = []
    for bundle in range(first, min(first + BUNDLES, -(-size // WIDTH))):
        width = min(WIDTH, size - bundle * WIDTH)
        hashes: list[bytes] = []
        entry_error = tile_error = ""
        missing = False
        tile = b""
        try:
            tile = read_tile(log.read, 0, bundle, width)
        except (TileError, OSError) as error:
            tile_error = _reason(error)
        try:
            data = read_tile(log.read, None, bundle, width)
            used = _hash(data, bundle * WIDTH, width, pairs, hashes, strict)
            rest = len(data) - used
            data = b""  # while it is held the next one would get memory that is new to the process
            if rest and (width == WIDTH or (path / tile_path(None, bundle, width)).exists()):  # else it is the full one
                raise TileError(f"the bundle goes on after record {bundle * WIDTH + width - 1}")
        except (TileError, OSError) as error:
            entry_error = _reason(error)
            missing = isinstance(error, FileNotFoundError)
        if entry_error or tile_error or b"".join(hashes) != tile:
            bad.append(Bundle(bundle, hashes, tile, entry_error, tile_error, missing))
            if entry_error:
                hashes = split(tile)
        if width == WIDTH:
            tops.append(top_of(hashes) if len(hashes) == WIDTH else b"")
        else:
            edge = hashes
    return Checked(tops, edge, bad, pairs)


def _hash(data: bytes, place: int, width: int, pairs: Stretch, hashes: list[bytes], strict: bool) -> int:
    """Add the leaf hashes (RFC 6962 2.1) of a bundle's entries to `hashes`, have `pairs` follow them; return the bytes used.

    Raises `TileError`. A verification spends its time in the inner loop: what goes on with a run is only compared. Each entry is
    hashed while the processor has it at hand: all entries first and then all hashes is slower.
    """
    hashed, add = sha256, hashes.append
    end, total = 0, len(data)
    try:
        while len(hashes) < width:
            run = pairs.likely
            if run is not None:
                seen = len(hashes)
                scope, at_scope, at_number, numbers = run.expected(width - seen)
                try:
                    for number in numbers:
                        start = end + 2
                        stop = start + (data[end] << 8 | data[end + 1])
                        entry = data[start:stop]
                        if entry[at_scope] != scope or entry[at_number] != number:
                            break
                        end = stop
                        add(hashed(b"\x00" + entry).digest())
                finally:
                    count = len(hashes) - (end > total)
                    run.note(count - seen, place + count - 1)
                if len(hashes) == width:
                    break
            start = end + 2
            end = start + (data[end] << 8 | data[end + 1])
            entry = data[start:end]
            add(hashed(b"\x00" + entry).digest())
            if end > total:
                break
            pairs.follow(place + len(hashes) - 1, entry, strict)
        if end > total:
            raise IndexError
    except IndexError:
        if end > total:  # the last one was cut
            hashes.pop()
        raise TileError(f"the bundle ends in or before record {place + len(hashes)}") from None
    return end


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def check_all(path: Path, size: int, processes: int, strict: bool) -> Iterator[Checked]:
    """Yield every stretch in order. `processes` 0: one a processor."""
    count = -(-size // (BUNDLES * WIDTH))
    processes = min(processes or os.cpu_count() or 1, count)
    if processes <= 1:
        for number in range(count):
            yield check_stretch(path, size, number, strict)
        return
    gc.freeze()  # else each process walks, and so copies, all objects that it has of this one
    try:
        with ProcessPoolExecutor(processes, get_context("fork")) as pool:
            yield from pool.map(check_stretch, [path] * count, [size] * count, range(count), [strict] * count)
    finally:
        gc.unfreeze()
