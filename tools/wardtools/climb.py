"""Climbs the tree from hashed stretches to the signed root, comparing each tile on the way, and finds out which side of a
difference is wrong: the entry or its hash in the tile. A hash that fits the tile above it is the one that was signed."""

from __future__ import annotations

from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.tiles import HASH, WIDTH, TileError, read_tile, tile_path
from wardgate.custody.tree import fold
from wardtools.findings import Findings, Verdict
from wardtools.leaves import Bundle, Checked, split, top_of
from wardtools.logdir import LogDirectory


class Climb:
    """Takes the stretches of one log in order, then `finish`, then `judge_missing`."""

    def __init__(self, log: LogDirectory, head: Checkpoint, findings: Findings, is_signed: bool = True) -> None:
        """`is_signed`: the signature over `head` is good, so its root was once signed."""
        self._log = log
        self._head = head
        self._findings = findings
        self._explained = not is_signed  # what is wrong already would explain another root
        self._rows: list[list[bytes]] = []  # per level: the hashes so far of the tile being filled; b"" where unknown
        self._numbers: list[int] = []  # per level: the number of that tile
        self._missing: list[Bundle] = []
        self._edges: list[Bundle] = []  # bad bundles that no tile above them can judge
        self._edge: list[bytes] = []
        self._tiles = 0
        self._bundles = 0

    @property
    def missing_records(self) -> int:
        """How many records are not there."""
        return sum(min(WIDTH, self._head.size - bundle.number * WIDTH) for bundle in self._missing)

    def _wrong(self, line: str, kind: Verdict = Verdict.DAMAGED, record: int | None = None) -> None:
        self._explained = True
        self._findings.wrong(line, kind, record)

    def take(self, checked: Checked) -> None:
        """Take the next stretch."""
        self._bundles += len(checked.tops) + bool(checked.edge)
        self._tiles += len(checked.tops) + bool(checked.edge)
        bad = {bundle.number: bundle for bundle in checked.bad}
        first = checked.pairs.start // WIDTH
        slots = self._slots(1, first // WIDTH, self._head.size >> 16) if bad else []
        for place, top in enumerate(checked.tops):
            bundle = bad.pop(first + place, None)
            slot = slots[place] if place < len(slots) else b""
            self._push(1, top if bundle is None else self._judge(bundle, slot))
        for bundle in bad.values():  # the edge
            self._edges.append(bundle)
        self._edge = checked.edge

    def _slots(self, level: int, number: int, full: int) -> list[bytes]:
        """Return the hashes of a tile, as far as it can be read."""
        width = min(WIDTH, (self._head.size >> (8 * level)) - number * WIDTH)
        try:
            return split(read_tile(self._log.read, level, number, width)) if width > 0 else []
        except (TileError, OSError):
            return []

    def _judge(self, bundle: Bundle, slot: bytes) -> bytes:
        """Say what is wrong with a full bundle or its tile; return the hash that stands for it. `slot`: what the tile above has."""
        computed = top_of(bundle.hashes) if len(bundle.hashes) == WIDTH else b""
        tile = top_of(split(bundle.tile)) if len(bundle.tile) == WIDTH * HASH else b""
        if bundle.entry_error:
            self._entries(bundle)
            return tile or slot
        if computed == slot:
            self._tile(bundle)
            return computed
        if not tile:
            self._tile(bundle)
            return computed or slot
        self._differences(bundle)
        return slot or tile

    def _entries(self, bundle: Bundle) -> None:
        """The entries cannot be read."""
        if bundle.missing:
            self._missing.append(bundle)
        else:
            # A length that is wrong may swallow what follows: the first entry with another hash is where it began.
            place = next(iter(self._unequal(bundle)), bundle.number * WIDTH + len(bundle.hashes))
            self._wrong(f"{tile_path(None, bundle.number)}: damaged at record {place}: {bundle.entry_error}", record=place)
        if bundle.tile_error:
            self._tile(bundle)

    def _tile(self, bundle: Bundle) -> None:
        """The entries are what was signed, or cannot say; their tile is not."""
        path = tile_path(0, bundle.number)
        first = bundle.number * WIDTH
        if bundle.tile_error:
            self._wrong(f"{path}: {bundle.tile_error} (hashes of records from {first} on)", record=first)
            return
        for place in self._unequal(bundle):
            self._wrong(f"{path}: the hash of record {place} is damaged; the record itself is as it was signed", record=place)

    def _differences(self, bundle: Bundle) -> None:
        for place in self._unequal(bundle):
            self._wrong(f"{tile_path(None, bundle.number)}: record {place} is not the one that was signed", record=place)

    def _unequal(self, bundle: Bundle) -> list[int]:
        want = split(bundle.tile)
        return [bundle.number * WIDTH + i for i, (a, b) in enumerate(zip(bundle.hashes, want, strict=False)) if a != b]

    def _push(self, level: int, top: bytes) -> None:
        """Add a hash to the tile being filled at `level`; a full one is compared and goes on above."""
        while len(self._rows) <= level:
            self._rows.append([])
            self._numbers.append(0)
        row = self._rows[level]
        row.append(top)
        if len(row) == WIDTH:
            hashes = self._compare(level, row, WIDTH)
            self._rows[level] = []
            self._numbers[level] += 1
            self._push(level + 1, top_of(hashes) if all(hashes) else b"")

    def _compare(self, level: int, row: list[bytes], width: int) -> list[bytes]:
        """Compare a tile with the hashes computed below it; return the hashes to go on with."""
        number = self._numbers[level]
        path = tile_path(level, number, width)
        first = (number * WIDTH) << (8 * level)
        self._tiles += 1
        try:
            tile = split(read_tile(self._log.read, level, number, width))
        except (TileError, OSError) as error:
            self._wrong(f"{path}: {error.strerror if isinstance(error, OSError) else error} (records from {first} on)", record=first)
            return row
        out = []
        for place, (ours, its) in enumerate(zip(row, tile, strict=True)):
            start = first + (place << (8 * level))
            if ours and ours != its:
                stop = start + (1 << (8 * level)) - 1
                self._wrong(f"{path}: the hash over records {start} to {stop} is damaged", record=start)
            out.append(ours or its)
        return out

    def finish(self) -> None:
        """Compare the tiles of the right edge, then the root."""
        size = self._head.size
        edge = list(self._edge) if size % WIDTH else []
        bad = self._edges[0] if self._edges else None
        rows: list[list[bytes]] = []
        for level in range(1, len(self._rows)):
            row = self._rows[level]
            rows.append(self._compare(level, row, len(row)) if row else [])
        root = _root([edge, *rows])
        if bad is not None:
            by_tile = _root([split(bad.tile), *rows])
            by_entry = _root([bad.hashes, *rows])
            self._edge_wrong(bad, by_entry == self._head.root)
            root = self._head.root if self._head.root in (by_tile, by_entry) else root
        if root != self._head.root and not self._explained:
            self._wrong(
                "records and tiles agree with each other but not with the root that was signed: they were made again", Verdict.FORKED
            )
        self._findings.facts.append(f"{self._tiles} hash tiles and {self._bundles} entry bundles compared")

    def _edge_wrong(self, bad: Bundle, entries_are_signed: bool) -> None:
        if bad.entry_error:
            self._entries(bad)
        elif entries_are_signed or bad.tile_error:
            self._tile(bad)
        else:
            self._differences(bad)

    def judge_missing(self, tombstones: list[tuple[int, int, str]]) -> None:
        """Say of each missing bundle whether a tombstone explains it. `tombstones`: (index, below, policy)."""
        place, below, policy = max(tombstones, key=lambda tombstone: tombstone[1], default=(0, 0, ""))
        missing = sorted(bundle.number for bundle in self._missing)
        pruned = [number for number in missing if (number + 1) * WIDTH <= below]
        if pruned:
            self._findings.facts.append(f"{len(pruned) * WIDTH} records before {below} were pruned by tombstone {place}: {policy}")
        lost = missing[len(pruned) :]
        last = (self._head.size - 1) // WIDTH
        if lost and lost == list(range(lost[0], last + 1)):
            self._findings.kept = lost[0] * WIDTH
            self._wrong(f"records from {lost[0] * WIDTH} on are not there", Verdict.TRUNCATED)
            return
        for number in lost:
            first = number * WIDTH
            self._wrong(f"{tile_path(None, number)}: not there, and no tombstone covers records from {first} on", record=first)


def _root(rows: list[list[bytes]]) -> bytes:
    """Return the root over the hashes of the right edge's tiles, lowest level first."""
    peaks: list[bytes] = []
    for row in reversed(rows):
        at = 0
        for height in range(7, -1, -1):
            if len(row) & (1 << height):
                part = row[at : at + (1 << height)]
                at += 1 << height
                if not all(part):
                    return b""
                peaks.append(top_of(part))
    return fold(peaks)
