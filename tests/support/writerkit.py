"""The custody writer's journal and sealer without their sockets and threads, driven step by step: for tests of what the disk may do."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

from support.custody import ORIGIN
from wardgate.custody import wire
from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.journal import Journal
from wardgate.custody.logkey import LogKey
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.recover import Damaged
from wardgate.custody.seal import Sealer, read_checkpoint
from wardgate.custody.wal import CHUNK, create
from wardgate.custody.wire import Status
from wardgate.signer import FileSigner

OK = int(Status.OK)


class Kit:
    """A writer on `directory`. `sent`: every record given to it, by index; `acknowledged`: how many it said are durable."""

    def __init__(self, directory: Path, key: Path, chance: random.Random) -> None:
        self.directory = str(directory)
        self.chance = chance
        log_key = LogKey(self.directory, ORIGIN, FileSigner(key))
        log_key.claim()
        self.sealer = Sealer(self.directory, log_key, open_checkpoint)  # in this process: hundreds of disks are looked at
        checkpoint = read_checkpoint(self.directory)
        self.journal = Journal(self.directory, True, checkpoint.size if checkpoint else 0)
        self.scopes: dict[bytes, tuple[Scope, int]] = {}
        self.sent: dict[int, bytes] = {}
        self.acknowledged = self.journal.durable
        self.waiting: list[tuple[int, bytes, int, bytes]] = []  # items not acknowledged: kind, association, seq, payload

    def queue(self, count: int) -> None:
        """Make items as workers send them: associations open, store, close."""
        for _ in range(count):
            if len(self.scopes) < 2 or (len(self.scopes) < 5 and self.chance.random() < 0.1):
                leg = Leg("CT1", "192.0.2.10:4242")
                scope = Scope("ward", "ct1", "to-hospital", uuid.UUID(int=self.chance.getrandbits(128)).bytes, leg, leg)
                self.scopes[scope.association] = (scope, 0)
                self.waiting.append((2, scope.association, 0, wire.encode_open(4096, scope.open(1, Quality.UNKNOWN))))
                continue
            name = self.chance.choice(list(self.scopes))
            scope, seq = self.scopes[name]
            if seq > 5 and self.chance.random() < 0.2:
                self.waiting.append((4, name, seq + 1, scope.close(1, Quality.UNKNOWN, seq, "released")))
                del self.scopes[name]
            else:
                digest = [("sha256", "dataset", f"{self.chance.getrandbits(256):064x}")]
                ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
                text = scope.store(1, Quality.UNKNOWN, seq + 1, "1.2", f"1.2.{seq}", "1.2.840.10008.1.2", 9, digest, *ends)
                self.scopes[name] = (scope, seq + 1)
                self.waiting.append((3, name, seq + 1, text))

    def commit(self) -> None:
        """Give all that waits to the journal and make it durable. Raises `OSError`; then what was not acknowledged still waits."""
        placed = {}
        for kind, name, seq, payload in self.waiting:
            if kind == 2:
                status, index = self.journal.begin(self, name, seq, payload)
            else:
                status, index = self.journal.submit(self, kind, name, seq, payload)
            if status != OK:
                break  # no room for this one
            placed[index] = payload[4:] if kind == 2 else payload
        self.journal.commit()
        self.sent.update(placed)
        del self.waiting[: len(placed)]
        self.acknowledged = self.journal.durable
        if self.waiting:
            raise OSError(28, f"item answered {status}")

    def prepare(self) -> None:
        """Make the next write-ahead file."""
        if self.journal.prepared is None:
            self.journal.prepared = create(self.journal.directory, self.journal.take_number(), self.journal.state.reserved + CHUNK)

    def seal(self) -> None:
        """Make a checkpoint. Raises `OSError`; then it may be tried again."""
        self.prepare()
        self.journal.rotate()
        try:
            self.journal.sealed(self.sealer.seal(list(self.journal.segments), paced=False))
        except OSError:
            checkpoint = read_checkpoint(self.directory)  # as the writer does: it may still be in place
            if checkpoint is not None and checkpoint.size > self.journal.signed:
                self.journal.sealed(checkpoint.size)
            raise

    def repair(self) -> None:
        """After a failed write. Raises `OSError`; `Damaged` must never come."""
        try:
            self.journal.repair()
        except Damaged as error:
            raise AssertionError(f"an acknowledged record is gone: {error}") from error

    def close(self) -> None:
        """Let go of the files."""
        self.journal.close()
        if self.journal.prepared is not None:
            self.journal.prepared.close()
