"""Makes a signed log in a directory at once, without a writer: for tests of what reads one, and for benchmarks."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from support.custody import DIGEST, ORIGIN, make_key
from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.note import VerifierKey, add_signature, key_from_spki
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.tiles import TileBuilder
from wardgate.signer import FileSigner, Scheme


class MadeLog(NamedTuple):
    """A log: its directory, its private key's file, its public key, its entries."""

    path: Path
    key: Path
    vkey: VerifierKey
    entries: list[bytes]


def entries_of(count: int, per_association: int = 100, start_ns: int | None = None) -> Iterator[bytes]:
    """Yield `count` entries as workers write them: open, stores, close, again and again."""
    caller, called = Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:2762", DIGEST, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    now = time.time_ns() if start_ns is None else start_ns
    made = 0
    while made < count:
        scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, caller, called)
        root = f"2.25.{int.from_bytes(scope.association[:8])}"
        yield scope.open(now, Quality.SYNCHRONISED)
        made += 1
        seq = 0
        while made < count - 1 and seq < per_association:
            seq += 1
            now += 1_000_000
            yield scope.store(
                now, Quality.SYNCHRONISED, seq, "1.2.840.10008.5.1.4.1.1.2", f"{root}.{seq}", "1.2.840.10008.1.2.1",
                524288, [("sha256", "dataset", DIGEST)], 0, Outcome.STATUS, Flow.ACCEPTOR,
            )  # fmt: skip
            made += 1
        if made < count:
            yield scope.close(now, Quality.SYNCHRONISED, seq, "released")
            made += 1


def make_log(path: Path, count: int, key: Path | None = None, entries: Iterable[bytes] | None = None) -> MadeLog:
    """Write a log of `count` entries. `key`: of an earlier one."""
    path.mkdir(parents=True, exist_ok=True)
    if key is None:
        key = make_key(path.parent / f"{path.name}.pem")
    kept = list(entries_of(count, 10_000) if entries is None else entries)
    builder = TileBuilder()
    for entry in kept:
        put(path, builder.append(entry))
    put(path, builder.partial())
    vkey = sign(path, key, builder)
    return MadeLog(path, key, vkey, kept)


def sign(path: Path, key: Path, builder: TileBuilder) -> VerifierKey:
    """Write the checkpoint and the vkey of what was built; return the vkey."""
    signer = FileSigner(key)
    vkey = key_from_spki(ORIGIN, signer.public_key())
    text = Checkpoint(ORIGIN, builder.size, builder.root()).text
    (path / "checkpoint").write_text(add_signature(text, vkey, signer.sign(text.encode(), Scheme.ED25519)))
    (path / "vkey").write_text(vkey.text + "\n")
    return vkey


def put(path: Path, tiles: list[tuple[str, bytes]]) -> None:
    """Write tiles, not durably."""
    for name, data in tiles:
        full = path / name
        if not full.parent.is_dir():
            os.makedirs(full.parent, exist_ok=True)
        full.write_bytes(data)
