"""`wardgate custody export DIR`: a copy of the signed log for read-only media, checked while it is made.

It has the checkpoint, the public key, what witnesses signed, and exactly the tiles and bundles of these checkpoints' trees; records
that are durable but not signed yet are left for the next export. Nothing but `wardtool` and the key is needed to verify it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final, NamedTuple, TextIO

from wardgate.codes import Code
from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.cosigned import names_in, parse_cosigned, read_cosigned
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.note import MAX_NOTE, NoteError, parse_key
from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.tiles import HASH, MAX_BUNDLE, WIDTH, TileError, TileTree, decode_bundle, read_tile, tile_path, tiles_at
from wardgate.custody.tree import EMPTY_ROOT, leaf_hash, node_hash, range_root

_README: Final = """\
A custody log, copied whole at {size} records. To verify it, with the public key obtained from the owner of the box and not from here:

    wardtool custody verify DIRECTORY --key box.vkey

Files: checkpoint (signed head), vkey (public key, to compare), cosigned and cosigned-older/ (what witnesses signed),
tile/ (C2SP tlog-tiles).
"""


_TOMBSTONE: Final = b'{"v":1,"type":"tombstone"'


class ExportError(Exception):
    """The log could not be copied, or is not what was signed."""


class Exported(NamedTuple):
    """What was copied. `pruned`: records whose text was pruned before; their hashes are there."""

    size: int
    pruned: int
    bytes: int


def export(log: str, target: str) -> Exported:
    """Copy the signed log to the new or empty directory `target`. Raises `ExportError`, `OSError`, `NoteError`, `TileError`."""
    os.makedirs(target, exist_ok=True)
    if os.listdir(target):
        raise ExportError(f"{target} is not empty")
    vkey = read_file(os.path.join(log, "vkey"), 4096)
    # Before the head: what witnesses sign while the tiles are copied may be of a tree that has grown, and would look rolled back here.
    cosigned = read_cosigned(lambda path: read_file(os.path.join(log, path), MAX_NOTE), names_in(log))
    note = read_file(os.path.join(log, "checkpoint"), MAX_NOTE)
    head = open_checkpoint(note, parse_key(vkey.decode("utf-8", "replace")))
    copy = _Copy(log, target)
    pruned = _walk(copy, head)
    for path, kept in cosigned:
        copy.put(path, kept)
        with contextlib.suppress(NoteError):
            _edge(copy, parse_cosigned(kept).size, head.size)
    _finish(copy, head, note, vkey)
    return Exported(head.size, pruned, copy.bytes)


def check(log: str) -> Exported:
    """Check the signed log whole where it lies, as `export` does, and copy nothing. Raises as `export`."""
    vkey = read_file(os.path.join(log, "vkey"), 4096)
    head = open_checkpoint(read_file(os.path.join(log, "checkpoint"), MAX_NOTE), parse_key(vkey.decode("utf-8", "replace")))
    look = _Look(log, log)
    return Exported(head.size, _walk(look, head), look.bytes)


def _walk(copy: _Copy, head: Checkpoint) -> int:
    """Copy or look at every tile and bundle of the tree; return how many records were pruned before."""
    pruned = 0
    for level, number, width in tiles_at(head.size):
        tile = copy.put(tile_path(level, number, width), read_tile(copy.read, level, number, width))
        if level == 0:
            pruned += copy.bundle(number, width, tile, pruned == number * WIDTH)
        else:
            copy.compare_below(level, number, tile)
    if pruned > copy.buried:
        raise ExportError(f"records before {pruned} are missing, and no tombstone is over all of them")
    root = range_root(TileTree(copy.read_copy, head.size).subtree, 0, head.size) if head.size else EMPTY_ROOT
    if root != head.root:
        raise ExportError("the tiles do not give the root that was signed")
    return pruned


def _edge(copy: _Copy, size: int, head: int) -> None:
    """Put beside the partial tiles of a tree of `head` entries those that it had at `size`: tlog-tiles names a tile by its width."""
    for level in range(8):
        number, width = divmod(size >> (8 * level), WIDTH)
        whole = min(WIDTH, (head >> (8 * level)) - number * WIDTH)
        if not 0 < width < whole < WIDTH:
            continue  # whoever finds no partial tile takes the full one
        copy.put(tile_path(level, number, width), copy.read_copy(tile_path(level, number, whole))[: width * HASH])
        if level == 0:
            data = copy.read_copy(tile_path(None, number, whole))
            copy.put(tile_path(None, number, width), data[: sum(2 + len(entry) for entry in decode_bundle(data, width))])


def _finish(copy: _Copy, head: Checkpoint, note: bytes, vkey: bytes) -> None:
    copy.put("vkey", vkey)
    copy.put("README", _README.format(size=head.size).encode())
    copy.put("checkpoint", note)  # last: a copy that was cut off has none
    for place, _, _ in os.walk(copy.target, topdown=False):
        sync_directory(place)


class _Copy:
    def __init__(self, log: str, target: str) -> None:
        self.log = log
        self.target = target
        self.bytes = 0
        self.buried = 0  # records below this index may be missing, says a tombstone that was signed

    def read(self, path: str) -> bytes:
        return read_file(os.path.join(self.log, path), MAX_BUNDLE)

    def read_copy(self, path: str) -> bytes:
        return read_file(os.path.join(self.target, path), MAX_BUNDLE)

    def put(self, path: str, data: bytes) -> bytes:
        full = os.path.join(self.target, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        write_durably(full, data)
        self.bytes += len(data)
        return data

    def bundle(self, number: int, width: int, tile: bytes, may_be_pruned: bool) -> int:
        """Copy the bundle under a level 0 tile; return how many of its records were pruned. Raises `ExportError`."""
        try:
            data = read_tile(self.read, None, number, width)
        except FileNotFoundError:
            if may_be_pruned and width == WIDTH:
                return WIDTH
            raise ExportError(f"records from {number * WIDTH} on are missing") from None
        entries = decode_bundle(data, width)
        for place, entry in enumerate(entries):
            if leaf_hash(entry) != tile[place * HASH : (place + 1) * HASH]:
                raise ExportError(f"record {number * WIDTH + place} is not the one that was signed")
            if entry.startswith(_TOMBSTONE):
                self.buried = max(self.buried, _below(entry))
        self.put(tile_path(None, number, width), data[: sum(2 + len(entry) for entry in entries)])
        return 0

    def compare_below(self, level: int, number: int, tile: bytes) -> None:
        """Compare a tile with the full tiles below it. Raises `ExportError`."""
        for place in range(len(tile) // HASH):
            below = self.read_copy(tile_path(level - 1, number * WIDTH + place))
            hashes = [below[at : at + HASH] for at in range(0, len(below), HASH)]
            while len(hashes) > 1:
                hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
            if hashes[0] != tile[place * HASH : (place + 1) * HASH]:
                raise ExportError(f"{tile_path(level, number)} does not hold the hash of the tile below it")


def _below(entry: bytes) -> int:
    try:
        return parse_record(entry).number("below") or 0
    except RecordError:
        return 0


class _Look(_Copy):
    """Reads as a copy does; there is nothing to write."""

    def put(self, path: str, data: bytes) -> bytes:
        del path
        self.bytes += len(data)
        return data

    def read_copy(self, path: str) -> bytes:
        """A tile below one that is full is full; on the right edge it may be there as a partial one."""
        return self.read(path)


def run_export(config: str, target: str, out: TextIO, err: TextIO) -> int:
    """Export the log of the configuration; return the exit status."""
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors

    try:
        done = export(str(load(config, check_files=False).custody.log), target)
    except ConfigErrors as errors:
        err.write(f"{errors}\n")
        return 1
    except (ExportError, NoteError, TileError, OSError) as error:
        code = Code.CUSTODY_EXPORT_FAILED
        err.write(f"{code} {code.value.sentence} ({error}) -> {code.value.action}\n")
        return 1
    pruned = f", of which {done.pruned} only by their hashes (pruned before)" if done.pruned else ""
    out.write(f"{done.size} signed records copied to {target}{pruned}, {done.bytes} bytes; verify with: wardtool custody verify\n")
    return 0
