"""A custody log of many records, made once and kept: what a box has after years. Made with the product's own record and tile code."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.note import add_signature, key_from_spki
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.tiles import TileBuilder
from wardgate.signer import FileSigner, Scheme

ORIGIN: Final = "ward.example/custody"
_STUDY: Final = 400  # instances in an association
_DIGEST: Final = "ab" * 32


def make_key(path: Path) -> Path:
    """Write an Ed25519 key, unless it is there."""
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        path.chmod(0o600)
    return path


def records(count: int) -> Iterator[bytes]:
    """Yield `count` records of studies, one after the other."""
    caller, called = Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:2762", _DIGEST, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    now, made = time.time_ns(), 0
    while made < count:
        scope = Scope("ward-ct1", "ct1", "to-hospital", uuid.uuid4().bytes, caller, called)
        root = f"1.2.826.0.1.3680043.8.1055.1.{int.from_bytes(scope.association[:6])}"
        yield scope.open(now, Quality.SYNCHRONISED)
        made += 1
        stores = min(_STUDY, max(0, count - made - 1))
        for seq in range(1, stores + 1):
            now += 3_000_000
            yield store(scope, now, seq, f"{root}.{seq}")
        made += stores
        if made < count:
            yield scope.close(now, Quality.SYNCHRONISED, stores, "released")
            made += 1


def store(scope: Scope, now: int, seq: int, instance: str) -> bytes:
    """Return the record of one CT image."""
    digests = [("sha256", "dataset", _DIGEST)]
    ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
    syntax = "1.2.840.10008.1.2.1"
    return scope.store(now, Quality.SYNCHRONISED, seq, "1.2.840.10008.5.1.4.1.1.2", instance, syntax, 526_538, digests, *ends)


def prepare(folder: Path, count: int) -> tuple[Path, int]:
    """Return the log of `count` records in `folder`, made now if it is not there, and the bytes of its records' text."""
    log = folder / f"log-{count}"
    done = log / "bench-text-bytes"
    if done.exists():
        return log, int(done.read_text())
    print(f"making a log of {count} records in {log}, once ...", file=sys.stderr)
    log.mkdir(parents=True, exist_ok=True)
    builder = TileBuilder()
    text = 0
    for record in records(count):
        text += len(record)
        full = builder.append(record)
        if full:
            _put(log, full)
    _put(log, builder.partial())
    signer = FileSigner(make_key(folder / "custody.pem"))
    key = key_from_spki(ORIGIN, signer.public_key())
    head = Checkpoint(ORIGIN, count, builder.root()).text
    (log / "vkey").write_text(key.text + "\n")
    (log / "checkpoint").write_text(add_signature(head, key, signer.sign(head.encode(), Scheme.ED25519)))
    os.sync()
    done.write_text(str(text))
    return log, text


def _put(log: Path, tiles: list[tuple[str, bytes]]) -> None:
    for name, data in tiles:
        path = os.path.join(log, name)
        try:
            file = open(path, "wb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = open(path, "wb", buffering=0)  # noqa: SIM115
        with file:
            file.write(data)
