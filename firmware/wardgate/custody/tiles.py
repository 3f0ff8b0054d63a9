"""C2SP tlog-tiles: paths, entry bundles, and a tree built up tile by tile or read back from tiles. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from wardgate.custody.tree import fold, leaf_hash, node_hash

WIDTH: Final = 256
HASH: Final = 32
MAX_ENTRY: Final = 65535
MAX_BUNDLE: Final = WIDTH * (2 + MAX_ENTRY)
Read = Callable[[str], bytes]  # path below the log directory -> its bytes


class TileError(Exception):
    """A tile or entry bundle is not what its place requires."""


def number_path(number: int) -> str:
    """Return `<N>`: zero-padded groups of three digits, all but the last behind an `x`."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]])


def tile_path(level: int | None, number: int, width: int = WIDTH) -> str:
    """Return the path of a tile (`level` None: of an entry bundle); `width` below 256 is a partial one."""
    place = "entries" if level is None else str(level)
    return f"tile/{place}/{number_path(number)}" + (f".p/{width}" if width < WIDTH else "")


def encode_entry(entry: bytes) -> bytes:
    """Return an entry as a bundle holds it."""
    if len(entry) > MAX_ENTRY:
        raise TileError(f"entry of {len(entry)} bytes, at most {MAX_ENTRY}")
    return len(entry).to_bytes(2, "big") + entry


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the first `width` entries of a bundle. Raises `TileError`."""
    entries: list[bytes] = []
    offset = 0
    for _ in range(width):
        start = offset + 2
        offset = start + int.from_bytes(data[offset:start], "big")
        if start > len(data) or offset > len(data):
            raise TileError(f"bundle ends in entry {len(entries)} of {width}")
        entries.append(data[start:offset])
    return entries


def tiles_at(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, number, width) of every tile of a tree of `size` entries."""
    level = 0
    while (count := size >> (8 * level)) > 0:
        for number in range(count // WIDTH):
            yield level, number, WIDTH
        if count % WIDTH:
            yield level, count // WIDTH, count % WIDTH
        level += 1


def read_tile(read: Read, level: int | None, number: int, width: int) -> bytes:
    """Return a tile; the full one is taken when the partial one is gone. Raises `TileError`, `OSError`."""
    try:
        data = read(tile_path(level, number, width))
    except FileNotFoundError:
        if width == WIDTH:
            raise
        data = read(tile_path(level, number))
    if level is None:
        return data
    if len(data) < width * HASH or len(data) > WIDTH * HASH:
        raise TileError(f"{tile_path(level, number, width)} has {len(data)} bytes")
    return data[: width * HASH]


class TileTree:
    """The hashes of a tree of `size` entries, read from its tiles."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self.size = size
        self._kept: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, number: int) -> bytes:
        """Return the tile as the tree of this size has it."""
        kept = self._kept.get((level, number))
        if kept is None:
            width = min(WIDTH, (self.size >> (8 * level)) - number * WIDTH)
            if width <= 0:
                raise TileError(f"no tile {level}/{number} in a tree of {self.size}")
            if len(self._kept) >= 64:
                self._kept.clear()
            kept = self._kept[(level, number)] = read_tile(self._read, level, number, width)
        return kept

    def subtree(self, level: int, n: int) -> bytes:
        """Return the hash of the complete subtree over entries n * 2**level up to (n + 1) * 2**level."""
        row, height = divmod(level, 8)
        first = n << height
        tile = self.tile(row, first // WIDTH)
        at = (first % WIDTH) * HASH
        hashes = [tile[place : place + HASH] for place in range(at, at + (HASH << height), HASH)]
        if len(hashes) != 1 << height or len(hashes[-1]) != HASH:
            raise TileError(f"subtree {level}/{n} is not complete in a tree of {self.size}")
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def bundle(self, number: int) -> list[bytes]:
        """Return the entries of a bundle as the tree of this size has it."""
        width = min(WIDTH, self.size - number * WIDTH)
        return decode_bundle(read_tile(self._read, None, number, width), width)


class TileBuilder:
    """The right edge of a growing tree: takes entries, gives tiles as they fill, and the partial ones when asked."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[list[bytes]] = []  # per level: the hashes of its rightmost, not yet full tile
        self._bundle: list[bytes] = []

    @classmethod
    def load(cls, read: Read, size: int) -> TileBuilder:
        """Return the builder of a tree of `size` entries, from its partial tiles. Raises `TileError`, `OSError`."""
        self = cls()
        self.size = size
        level = 0
        while (count := size >> (8 * level)) > 0:
            number, width = divmod(count, WIDTH)
            data = read_tile(read, level, number, width) if width else b""
            self._edge.append([data[at : at + HASH] for at in range(0, len(data), HASH)])
            level += 1
        number, width = divmod(size, WIDTH)
        if width:
            self._bundle = [encode_entry(entry) for entry in decode_bundle(read_tile(read, None, number, width), width)]
        return self

    def append(self, entry: bytes) -> list[tuple[str, bytes]]:
        """Add an entry; return the (path, bytes) of every tile that it filled."""
        self._bundle.append(encode_entry(entry))
        self.size += 1
        full: list[tuple[str, bytes]] = []
        top = leaf_hash(entry)
        level = 0
        while True:
            if level == len(self._edge):
                self._edge.append([])
            row = self._edge[level]
            row.append(top)
            if len(row) < WIDTH:
                break
            if level == 0:
                full.append((tile_path(None, self.size // WIDTH - 1), b"".join(self._bundle)))
                self._bundle = []
            full.append((tile_path(level, (self.size >> (8 * (level + 1))) - 1), b"".join(row)))
            hashes = row
            while len(hashes) > 1:
                hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
            top = hashes[0]
            self._edge[level] = []
            level += 1
        return full

    def partial(self) -> list[tuple[str, bytes]]:
        """Return the (path, bytes) of the partial tiles of the tree as it is."""
        tiles = []
        if self._bundle:
            tiles.append((tile_path(None, self.size // WIDTH, len(self._bundle)), b"".join(self._bundle)))
        for level, row in enumerate(self._edge):
            if row:
                tiles.append((tile_path(level, self.size >> (8 * (level + 1)), len(row)), b"".join(row)))
        return tiles

    def root(self) -> bytes:
        """Return the root hash of the tree as it is."""
        peaks: list[bytes] = []
        for row in reversed(self._edge):
            at = 0
            for height in range(7, -1, -1):
                if len(row) & (1 << height):
                    hashes = row[at : at + (1 << height)]
                    at += 1 << height
                    while len(hashes) > 1:
                        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
                    peaks.append(hashes[0])
        return fold(peaks)
