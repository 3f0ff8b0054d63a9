"""Checks everything in a custody log that can be checked with the public key alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.note import NoteError, VerifierKey
from wardgate.custody.parse import Record, RecordError, parse_record
from wardgate.custody.recover import Damaged
from wardgate.custody.tiles import HASH, WIDTH, TileError, TileTree, tiles_at
from wardgate.custody.tree import leaf_hash, node_hash, range_root
from wardtools.logdir import LogDirectory

_MAX_LINES = 50


@dataclass(slots=True)
class Findings:
    """What was found: `facts` for the reader, `notes` worth a look, `errors` that must not be."""

    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def wrong(self, line: str) -> None:
        """Add an error; beyond 50 only the count matters."""
        if len(self.errors) < _MAX_LINES:
            self.errors.append(line)


@dataclass(slots=True)
class _Association:
    opened: int
    last_seq: int = 0
    last_index: int = 0
    stores: int = 0


@dataclass(slots=True)
class _Pairs:
    """Follows open, store and close records."""

    findings: Findings
    open: dict[str, _Association] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    unknown: int = 0

    def take(self, place: int, record: Record) -> None:
        """Follow one record."""
        self.counts[record.type] = self.counts.get(record.type, 0) + 1
        if not record.known:
            return
        if record.type == "token":
            self._token(place, record)
            return
        name = record.association
        known = self.open.get(name)
        if record.type == "open":
            if known is not None or name in self.closed:
                self.findings.wrong(f"record {place}: association {name} is opened twice")
            self.open[name] = _Association(place, last_index=place)
            return
        if known is None:
            self.findings.wrong(f"record {place}: {record.type} without an open entry, association {name}")
            return
        if record.type == "store":
            self._store(place, record, known)
        else:
            self._close(place, record, known)
            del self.open[name]
            self.closed.add(name)

    def _token(self, place: int, record: Record) -> None:
        """Note when the log grew without signatures: what was written then was durable only."""
        if record.text("event") == "signing-stopped":
            self.findings.notes.append(f"record {place}: from here on nothing could be signed ({record.text('code')})")
        elif record.text("event") == "signing-resumed":
            self.findings.notes.append(f"record {place}: checkpoints are signed again")

    def _store(self, place: int, record: Record, known: _Association) -> None:
        seq = record.number("seq") or 0
        if seq <= known.last_seq:
            self.findings.wrong(f"record {place}: sequence number {seq} after {known.last_seq}, association {record.association}")
        elif seq > known.last_seq + 1:
            gap = f"{known.last_seq + 1} to {seq - 1}"
            self.findings.notes.append(
                f"record {place}: no record with sequence number {gap} (could not be made durable), association {record.association}"
            )
        known.last_seq = max(seq, known.last_seq)
        known.last_index = place
        known.stores += 1

    def _close(self, place: int, record: Record, known: _Association) -> None:
        after = record.number("after")
        said = record.number("stores") or 0
        if said < max(known.stores, known.last_seq):
            self.findings.wrong(f"record {place}: says {said} stores, the log has {known.stores}, up to sequence number {known.last_seq}")
        elif said > known.last_seq and after is None:
            self.findings.notes.append(
                f"record {place}: no record with sequence number {known.last_seq + 1} to {said} (could not be made durable),"
                f" association {record.association}"
            )
        if after is not None:
            self.unknown += 1
            if after != known.last_index:
                self.findings.wrong(f"record {place}: says that outcomes are unknown after {after}, the last is {known.last_index}")
            self.findings.notes.append(f"instances after record {after}: outcome unknown (association {record.association})")


def verify(log: LogDirectory, key: VerifierKey) -> Findings:
    """Check checkpoint, tiles, root, records and write-ahead frames. Raises `OSError` when the log cannot be read."""
    findings = Findings()
    try:
        view = log.view()
        if view.head.origin:
            checkpoint = open_checkpoint(view.note, key)
            findings.facts.append(f"checkpoint of {checkpoint.origin}: {checkpoint.size} records signed, root {checkpoint.root.hex()}")
    except (NoteError, Damaged) as error:
        findings.wrong(str(error))
        return findings
    pairs = _Pairs(findings)
    if view.head.origin:
        _check_tree(log.tree(view.head), view.head.root, findings)
    if not view.has_wal:
        findings.notes.append("there is no write-ahead file: records after the checkpoint, if there were any, are gone")
    try:
        for place, entry in log.records(view, 0):
            try:
                pairs.take(place, parse_record(entry))
            except RecordError as error:
                findings.wrong(f"record {place}: {error}")
    except (TileError, OSError) as error:
        findings.wrong(f"entries cannot be read: {error}")
    for name, known in pairs.open.items():
        findings.notes.append(f"association {name} is open since record {known.opened}")
    types = ", ".join(f"{count} {name}" for name, count in sorted(pairs.counts.items())) or "none"
    findings.facts.append(f"records: {types}; {pairs.unknown} associations with an unknown end")
    findings.facts.append(f"{view.durable} records durable, of which {view.durable - view.signed} are not yet signed")
    return findings


def _check_tree(tree: TileTree, root: bytes, findings: Findings) -> None:
    """Compare every tile with the entries or tiles below it, and the root with the checkpoint."""
    size = tree.size
    tops: dict[int, list[bytes]] = {}
    count = 0
    try:
        for level, number, width in tiles_at(size):
            tile = tree.tile(level, number)
            count += 1
            if level == 0:
                want = b"".join([leaf_hash(entry) for entry in tree.bundle(number)])
            else:
                want = b"".join(tops[level - 1][number * WIDTH : number * WIDTH + width])
            if tile != want:
                findings.wrong(f"tile {level}/{number} (width {width}) does not hold the hashes of what is below it")
            if width == WIDTH:
                tops.setdefault(level, []).append(_top(tile))
        if range_root(tree.subtree, 0, size) != root:
            findings.wrong("the tiles do not give the root that was signed")
    except (TileError, OSError) as error:
        findings.wrong(f"tiles cannot be read: {error}")
    findings.facts.append(f"{count} hash tiles and {-(-size // WIDTH)} entry bundles compared")


def _top(tile: bytes) -> bytes:
    hashes = [tile[at : at + HASH] for at in range(0, len(tile), HASH)]
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]
