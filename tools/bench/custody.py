"""Reads the digests in a custody log without the product's own code: entry bundles (C2SP tlog-tiles) and write-ahead files."""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_BUNDLE = 256  # entries in a full entry bundle
_MAGIC = b"\xf7WG\x01"
_FRAME = struct.Struct("!4sIIIQB16sI")  # magic, crc, length, base, index, kind, association, seq
_RECORD_KINDS = (2, 3, 4)  # open, store, close; others hold no record


def stores(log: Path) -> Counter[tuple[str, str]]:
    """Count (SOP Instance UID, SHA-256 in hex) over all store records with a status. Each record counts once, wherever it lies."""
    records = dict(_from_tiles(log / "tile" / "entries"))
    for path in log.glob("wal-*"):
        records.update(_from_frames(path.read_bytes()))
    found: Counter[tuple[str, str]] = Counter()
    for data in records.values():
        record = json.loads(data)
        if record["type"] != "store":
            continue
        digest = next((item["value"] for item in record["digests"] if item["scope"] == "dataset"), "no digest")
        found[record["sop_instance"], digest if record["outcome"] == "status" else record["outcome"]] += 1
    return found


def _from_tiles(folder: Path) -> Iterator[tuple[int, bytes]]:
    for path in folder.rglob("*") if folder.exists() else ():
        match = re.fullmatch(r"((?:x\d{3}/)*\d{3})(?:\.p/\d+)?", path.relative_to(folder).as_posix())
        if not match or not path.is_file():
            continue
        index = int(match[1].replace("x", "").replace("/", "")) * _BUNDLE
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            yield index, data[at + 2 : at + 2 + length]
            at, index = at + 2 + length, index + 1


def _from_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _FRAME.size <= len(data):
        magic, _, length, _, index, kind, _, _ = _FRAME.unpack_from(data, at)
        if magic != _MAGIC:
            return  # preallocated room after the last frame
        if kind in _RECORD_KINDS:
            yield index, data[at + _FRAME.size : at + _FRAME.size + length]
        at += _FRAME.size + length
