"""A custody writer as a process, and a worker's end of it, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.wire import readable
from wardgate.custody import wire
from wardgate.custody.client import CustodyClient, WriterGone
from wardgate.custody.note import VerifierKey, parse_key
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.wire import Op, Status
from wardtools.logdir import LogDirectory
from wardtools.verify import Findings, verify

ORIGIN = "ward.example/custody"
ROOT = Path(__file__).resolve().parents[2]
DIGEST = "ab" * 32


def make_key(path: Path) -> Path:
    """Write a fresh Ed25519 key."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


class WriterProcess:
    """`python -m wardgate.hold.writer` on a log directory below `place`."""

    def __init__(self, place: Path, *arguments: str, log: Path | None = None, pass_fds: tuple[int, ...] = (), key: str = "") -> None:
        """`key`: the URI of one in a token; else one is made in a file."""
        self.place = place
        self.log = log or place / "log"
        self.socket = place / "custody.sock"
        if not key:
            key = str(place / "custody.pem")
            if not os.path.exists(key):
                make_key(Path(key))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
        self.output = (place / "writer.txt").open("ab")
        command = [sys.executable, "-m", "wardgate.hold.writer", "--log", str(self.log), "--socket", str(self.socket)]
        command += ["--origin", ORIGIN, "--key", key, *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=self.output, pass_fds=pass_fds)

    def text(self) -> str:
        """What the writers at this place have said so far."""
        return (self.place / "writer.txt").read_text()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.output.close()
        return status

    def findings(self) -> Findings:
        """Verify the log."""
        return verify(LogDirectory(self.log), self.key())

    def key(self) -> VerifierKey:
        """The log's public key."""
        return parse_key((self.log / "vkey").read_text())

    def entries(self) -> list[bytes]:
        """All durable records."""
        log = LogDirectory(self.log)
        return [entry for _, entry in log.records(log.view(), 0)]


def connect(path: Path, name: str = "w1", seconds: float = 60) -> CustodyClient:
    """Return a connected client, waiting for the writer to come up."""
    client = CustodyClient(path, name, time.monotonic)
    reconnect(client, seconds)
    return client


def reconnect(client: CustodyClient, seconds: float = 60) -> None:
    """Connect again, waiting for the writer to come up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.connect()
            return
        except WriterGone:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def answers(client: CustodyClient, count: int, seconds: float = 60) -> dict[int, tuple[Status, int]]:
    """Flush, and wait until `count` answers have come: request -> (status, index)."""
    found: dict[int, tuple[Status, int]] = {}
    client.flush()
    deadline = time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} answers came"
        if client.wants_write:
            client.flush()
        if readable(client.fileno(), seconds=0.02 if client.wants_write else 0.2):
            for request, status, index in client.receive():
                found[request] = (status, index)
    return found


def drain(client: CustodyClient) -> list[tuple[int, Status, int]]:
    """Return all that the dead writer had still answered."""
    found: list[tuple[int, Status, int]] = []
    while True:
        try:
            found += client.receive()
        except WriterGone:
            return found


class Study:
    """One association as a worker writes it down."""

    def __init__(self, client: CustodyClient, name: str = "ct1") -> None:
        self.client = client
        caller, called = Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:2762", DIGEST, "TLSv1.3 TLS_AES_256_GCM_SHA384")
        self.scope = Scope("ward", name, "to-hospital", uuid.uuid4().bytes, caller, called)
        self.seq = 0

    def open(self, reserve: int = 65536) -> int:
        """Queue the open entry."""
        record = self.scope.open(time.time_ns(), Quality.UNKNOWN)
        return self.client.add(Op.OPEN, self.scope.association, 0, wire.encode_open(reserve, record))

    def store(self) -> int:
        """Queue a store record; its SOP Instance UID ends in the sequence number."""
        self.seq += 1
        return self.client.add(Op.STORE, self.scope.association, self.seq, self.store_record(self.seq))

    def store_record(self, seq: int) -> bytes:
        """Return the store record with this sequence number."""
        return self.scope.store(
            time.time_ns(), Quality.UNKNOWN, seq, "1.2.840.10008.5.1.4.1.1.2", f"{self.instance}.{seq}", "1.2.840.10008.1.2.1",
            524288, [("sha256", "dataset", DIGEST)], 0, Outcome.STATUS, Flow.ACCEPTOR,
        )  # fmt: skip

    @property
    def instance(self) -> str:
        """The prefix of its SOP Instance UIDs."""
        return f"2.25.{self.scope.association[0]}.{self.scope.association[1]}"

    def close(self) -> int:
        """Queue the close entry."""
        record = self.scope.close(time.time_ns(), Quality.UNKNOWN, self.seq, "released")
        return self.client.add(Op.CLOSE, self.scope.association, self.seq + 1, record)

    @property
    def id(self) -> str:
        """The association's id, hex."""
        return self.scope.association.hex()
