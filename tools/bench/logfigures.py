"""The figures of the custody log alone: `tools/bench/custody`. All in one run on one machine; ratios where there is something to
compare with. "Hashing alone" reads the same bundles and computes the same leaf and node hashes of RFC 6962 with the same
interpreter and as many processes, and does nothing with them."""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench import biglog
from bench.places import ROOT
from bench.report import Line, Sense, table
from wardgate.custody import wire
from wardgate.custody.client import CustodyClient, WriterGone
from wardgate.custody.note import parse_key
from wardgate.custody.record import Leg, Quality, Scope
from wardgate.custody.tiles import WIDTH, tile_path
from wardgate.custody.wire import Op, Status
from wardtools.leaves import top_of
from wardtools.logdir import LogDirectory
from wardtools.proving import make_proof
from wardtools.verify import verify

_WINDOW: Final = 4096  # records under way at once, of all associations together
_CHUNK: Final = 64  # bundles hashed in one task


def main() -> int:
    """Measure and print; exit status 1 when a log that was made does not verify."""
    parser = argparse.ArgumentParser(prog="tools/bench/custody", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000, help="in the big log; it is made once, about 0.8 kB each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--appends", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "custody")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    lines, good = measure(args.folder, args.records, args.rounds, args.appends)
    print(f"\nCustody log: {args.records} records, {args.rounds} rounds, {os.cpu_count()} processors; medians.\n")
    print(table(lines))
    return 0 if good else 1


def measure(folder: Path, count: int, rounds: int, appends: int) -> tuple[list[Line], bool]:
    """Return the lines, and whether the big log verified."""
    log, text = biglog.prepare(folder, count)
    lines = [
        Line("13", "records appended a second, group commit", [append_rate(folder, appends) for _ in range(rounds)], must=5000, unit="/s"),
        Line(
            "14", "open the log: the writer serves", [opened(folder, log) for _ in range(rounds)], sense=Sense.AT_MOST, must=1.0, unit=" s"
        ),
    ]
    proofs = [proof_seconds(log, count) * 1000 for _ in range(rounds)]
    lines.append(Line("15", "one inclusion proof", proofs, sense=Sense.AT_MOST, must=50, unit=" ms"))
    walls, ratios, rates, raws = [], [], [], []
    hashing_alone(log, count)  # who reads the bundles from the disk first would read them for the other one too
    good = not _errors(log)  # and the hash tiles, which verification alone reads
    for _ in range(rounds):
        alone, alone_cpu = _timed(lambda: hashing_alone(log, count))
        findings: list[str] = []
        whole, whole_cpu = _timed(lambda found=findings: found.extend(_errors(log)))  # type: ignore[misc]
        good = good and not findings
        walls.append(alone / whole)
        ratios.append(alone_cpu / whole_cpu)
        rates.append(count / whole)
        raws.append(raw_hashing(log, min(count, 500_000)) / (whole_cpu / count))
    note = "processor time of all processes: other programs do not count"
    lines.append(Line("16", "full verification / hashing alone", ratios, must=0.8, note=note))
    lines.append(Line("16", "the same by the clock on the wall", walls))
    lines.append(Line("16", "records verified a second", rates, unit="/s"))
    lines.append(Line("16", "full verification / SHA-256 over the bundles' bytes", raws, note="processor time"))
    used = on_disk(log)
    lines.append(Line("17", "bytes on disk a record beyond its text", [(used - text) / count], sense=Sense.AT_MOST, must=400))
    return lines, good


def _errors(log: Path) -> list[str]:
    return verify(LogDirectory(log), parse_key((log / "vkey").read_text())).errors


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that `work` takes: by the clock, and of processors, its processes included."""
    began, cpu = time.perf_counter(), _processor_seconds()
    work()
    return time.perf_counter() - began, _processor_seconds() - cpu


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class _Writer:
    """A writer process on a log directory."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.socket = folder / f"w{uuid.uuid4().hex[:6]}.sock"
        key = biglog.make_key(folder / "custody.pem")
        command = [sys.executable, "-m", "wardgate.custody.writer", "--log", str(log), "--socket", str(self.socket)]
        command += ["--origin", biglog.ORIGIN, "--key", str(key), "--checkpoint-records", "65536"]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}/firmware:{ROOT}/hsm"}
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def connect(self) -> CustodyClient:
        """Return a client as soon as it serves."""
        client = CustodyClient(self.socket, "bench", time.monotonic)
        while self._process.poll() is None:
            try:
                client.connect()
                return client
            except WriterGone:
                time.sleep(0.002)
        raise RuntimeError("the writer ended")

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(120)
        self.socket.unlink(missing_ok=True)


def append_rate(folder: Path, count: int) -> float:
    """Return records made durable a second: eight associations, every record acknowledged, checkpoints meanwhile."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        writer = _Writer(folder, Path(place) / "log")
        client = writer.connect()
        leg = Leg("CT1", "192.0.2.10:4242", "ab" * 32, "TLSv1.3 TLS_AES_256_GCM_SHA384")
        scopes = [Scope("ward-ct1", "ct1", "to-hospital", uuid.uuid4().bytes, leg, leg) for _ in range(8)]
        for scope in scopes:
            reserve = wire.encode_open(2048 * (count // 8 + 2), scope.open(time.time_ns(), Quality.SYNCHRONISED))
            client.add(Op.OPEN, scope.association, 0, reserve)
        _wait(client, 0)
        texts = [biglog.store(scope, time.time_ns(), 1, "1.2.826.0.1.3680043.8.1055.1.281474976710655.100") for scope in scopes]
        began = time.perf_counter()
        for number in range(count):
            scope = scopes[number % 8]
            client.add(Op.STORE, scope.association, number // 8 + 1, texts[number % 8])
            if number % 256 == 255:
                client.flush()
                _wait(client, _WINDOW)
        _wait(client, 0)
        seconds = time.perf_counter() - began
        client.close()
        writer.stop()
    return count / seconds


def _wait(client: CustodyClient, until: int) -> None:
    import select

    client.flush()
    while client.unanswered > until:
        writable = [client.fileno()] if client.wants_write else []
        readable, _, _ = select.select([client.fileno()], writable, [], 1)
        if client.wants_write:
            client.flush()
        if readable:
            for _, status, _ in client.receive():
                if status is not Status.OK:
                    raise RuntimeError(f"a record was answered {status.name}")


def opened(folder: Path, log: Path) -> float:
    """Return the seconds from the start of the writer process until it serves."""
    began = time.perf_counter()
    writer = _Writer(folder, log)
    client = writer.connect()
    seconds = time.perf_counter() - began
    client.close()
    writer.stop()
    return seconds


def proof_seconds(log: Path, count: int) -> float:
    """Return the mean seconds of a proof of a record somewhere, made and checked, nothing kept from the one before."""
    key = parse_key((log / "vkey").read_text())
    places = [random.randrange(count) for _ in range(50)]
    began = time.perf_counter()
    for place in places:
        make_proof(LogDirectory(log), key, place)
    return (time.perf_counter() - began) / len(places)


def hashing_alone(log: Path, count: int) -> None:
    """Read all bundles and compute all leaf and node hashes."""
    tasks = range(0, -(-count // WIDTH), _CHUNK)
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        tops = [top for part in pool.map(_hash_bundles, [log] * len(tasks), [count] * len(tasks), tasks) for top in part]
        while len(tops) > 1:
            tops = [sha256(b"\x01" + tops[i] + tops[i + 1]).digest() for i in range(0, len(tops) - 1, 2)] + tops[len(tops) & ~1 :]


def _hash_bundles(log: Path, count: int, first: int) -> list[bytes]:
    out = []
    for number in range(first, min(first + _CHUNK, -(-count // WIDTH))):
        width = min(WIDTH, count - number * WIDTH)
        data = (log / tile_path(None, number, width)).read_bytes()
        hashes = []
        end = 0
        for _ in range(width):
            start = end + 2
            end = start + (data[end] << 8 | data[end + 1])
            hashes.append(sha256(b"\x00" + data[start:end]).digest())
        if width == WIDTH:
            out.append(top_of(hashes))
        data = b""  # as in verification: while it is held the next one would get memory that is new to the process
    return out


def raw_hashing(log: Path, count: int) -> float:
    """Return the seconds a record that SHA-256 alone takes over the bundles' bytes, each bundle as one piece, in this process."""
    began = time.process_time()
    for number in range(count // WIDTH):
        sha256((log / tile_path(None, number)).read_bytes()).digest()
    return (time.process_time() - began) / (count // WIDTH * WIDTH)


def on_disk(log: Path) -> int:
    """Return the bytes that the log's files take on the disk."""
    return sum(os.lstat(os.path.join(place, name)).st_blocks * 512 for place, _, names in os.walk(log) for name in names)


if __name__ == "__main__":
    sys.exit(main())
