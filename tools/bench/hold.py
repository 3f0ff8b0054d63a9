"""Intake of a link that holds, against DCMTK's storescp that syncs each file: the same data sets, the same disk, in turns.

python -m bench.hold [--folder DIR] [--rounds N] [--box FOLDER]; needs DCMTK and gcc. The PACS of the box is away: everything is held.
Both run all the time, and the one that has no turn rests: the pace of a disk changes within seconds, and a start is not intake.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CT: Final = b"1.2.840.10008.5.1.4.1.1.2\0"
EXPLICIT: Final = b"1.2.840.10008.1.2.1"
KINDS: Final = {"ct": (526_000, 200), "small": (16_000, 600)}  # bytes of a data set, instances a round
MUST: Final = 0.8
REST_SECONDS: Final = 0.5  # in which a box that has started uses next to no processor time
SETTLE_SECONDS: Final = 30.0


def item(kind: int, body: bytes) -> bytes:
    """Return one item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq() -> bytes:
    """Return the A-ASSOCIATE-RQ of the sender."""
    body = struct.pack(">HH", 1, 0) + b"STORESCP".ljust(16) + b"CT1".ljust(16) + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x20, bytes((1, 0, 0, 0)) + item(0x30, CT.rstrip(b"\0")) + item(0x40, EXPLICIT))
    body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4"))
    return struct.pack(">BBI", 1, 0, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    """Return an element of a command set."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def request(message: int, instance: bytes, data_set: list[bytes]) -> list[bytes]:
    """Return the PDUs of one C-STORE."""
    us = struct.Struct("<H").pack
    body = element(0x0002, CT) + element(0x0100, us(1)) + element(0x0110, us(message)) + element(0x0700, us(0))
    body += element(0x0800, us(0)) + element(0x1000, instance + b"\0" * (len(instance) & 1))
    command = element(0, struct.pack("<I", len(body))) + body
    return [struct.pack(">BBIIBB", 4, 0, len(command) + 6, len(command) + 2, 1, 3) + command, *data_set]


def data_set(size: int) -> list[bytes]:
    """Return the PDUs of a data set of about `size` bytes: one private element of random bytes."""
    value = os.urandom(size & ~1)
    data = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(value)) + value
    pieces = [data[at : at + 16000] for at in range(0, len(data), 16000)]
    return [
        struct.pack(">BBIIBB", 4, 0, len(piece) + 6, len(piece) + 2, 1, 2 * (at == len(pieces) - 1)) + piece
        for at, piece in enumerate(pieces)
    ]


def read(sock: socket.socket) -> tuple[int, bytes]:
    """Return type and body of a PDU."""
    head = exactly(sock, 6)
    return head[0], exactly(sock, struct.unpack(">I", head[2:])[0])


def exactly(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes: a socket with a timeout does not wait for all."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise RuntimeError("the connection ended")
        data += piece
    return data


def status(command: bytes) -> int:
    """Return (0000,0900) of a command set, -1 when there is none."""
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        if number == 0x0900:
            return int(struct.unpack_from("<H", command, at + 8)[0])
        at += 8 + length
    return -1


def send(port: int, first: int, count: int, pdus: list[bytes], errors: list[str]) -> None:
    """Send `count` instances on one association, each after the answer to the one before."""
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(associate_rq())
        if read(sock)[0] != 2:
            errors.append("not accepted")
            return
        for number in range(first, first + count):
            parts = request(number % 65535 + 1, b"1.2.826.0.1.3680043.10.1453.9.%d" % number, pdus)
            sock.sendall(b"".join(parts))
            _, body = read(sock)
            if status(body[6:]):
                errors.append(f"status {status(body[6:]):04X}")
                return
        sock.sendall(struct.pack(">BBI4x", 5, 0, 4))
        read(sock)


def rate(port: int, size: int, count: int, associations: int) -> float:
    """Return instances a second."""
    pdus = data_set(size)
    errors: list[str] = []
    each = count // associations
    threads = [threading.Thread(target=send, args=(port, number * each, each, pdus, errors)) for number in range(associations)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    if errors:
        raise RuntimeError(errors[0])
    return each * associations / taken


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program listens."""
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("it does not listen")


def rested(process: subprocess.Popen[bytes]) -> None:
    """Wait until `process` and its children have little to do: they have started."""
    until = time.monotonic() + SETTLE_SECONDS
    used = _ticks(process.pid)
    while time.monotonic() < until:
        time.sleep(REST_SECONDS)
        before, used = used, _ticks(process.pid)
        if used - before <= 1:
            return
    raise RuntimeError("it does not come to rest")


def _ticks(pid: int) -> int:
    """Return the processor time of a process and its children, in ticks."""
    total = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(_ticks(int(child)) for child in (task / "children").read_text().split())
    return total


def storescp(folder: Path, work: Callable[[int], float]) -> float:
    """Run `work(port)` against storescp, one process an association as it is meant to be run."""
    shim = folder / "synced.so"
    if not shim.exists():
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", shim, ROOT / "tools/bench/synced.c", "-ldl"], check=True)
    out, port = folder / "out", free_port()
    out.mkdir()
    words = ["storescp", "--fork", "+xa", "+B", "-od", str(out), str(port)]
    process = subprocess.Popen(words, env={**os.environ, "LD_PRELOAD": str(shim), "TCP_NODELAY": "1"})
    try:
        listening(port, process)
        return work(port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(out)


def wardgate(folder: Path, work: Callable[[int], float], root: Path = ROOT) -> float:
    """Run `work(port)` against a box that holds; its code is below `root`."""
    place = folder / "box"
    (place / "run").mkdir(parents=True, mode=0o700)
    port = free_port()
    for name in ("hold.key", "custody.pem"):
        os.close(os.open(place / name, os.O_CREAT | os.O_WRONLY, 0o600))
    (place / "hold.key").write_bytes(os.urandom(32))
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (place / "custody.pem").write_bytes(pem)
    config = place / "box.toml"
    config.write_text(
        f"""[box]
name = "bench"
run_dir = "run"
hash_threads = 1
[custody]
log = "log"
origin = "bench/custody"
key = "custody.pem"
[hold]
directory = "hold"
key = "hold.key"
unsafe_allow_file_key = true
keep_free_bytes = 1048576
[[link]]
name = "ct1"
delivery = "hold"
sop_classes = ["*"]
[link.modality]
ae_titles = ["*"]
addresses = ["127.0.0.1"]
listen = ["127.0.0.1:{port}"]
transport = "plain"
[[link.peer]]
name = "pacs"
ae_titles = ["*"]
addresses = ["127.0.0.1"]
connect = "127.0.0.1:{free_port()}"
transport = "plain"
unsafe_allow_clear_hospital = true
hold_transfer_syntaxes = ["1.2.840.10008.1.2.1"]
"""
    )
    words = [sys.executable, "-m", "wardgate", "run", "-c", str(config)]
    with (folder / "box.log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(root / "firmware")})
        try:
            listening(port, process)
            rested(process)
            return work(port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(25)
            shutil.rmtree(place)


def by_turns(folder: Path, root: Path, size: int, count: int, associations: int, rounds: int) -> list[tuple[float, float]]:
    """Return instances a second of storescp and of the box in each round."""
    found = []

    def work(theirs: int, ours: int) -> float:
        for port in (theirs, ours):
            rate(port, size, associations * 8, associations)  # warm
        for _ in range(rounds):
            found.append((rate(theirs, size, count, associations), rate(ours, size, count, associations)))
        return 0.0

    storescp(folder, lambda theirs: wardgate(folder, lambda ours: work(theirs, ours), root))
    return found


def main() -> int:
    """Measure and print a table of ratios; the exit status says whether it ran."""
    parser = argparse.ArgumentParser(prog="python -m bench.hold")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--box", type=Path, default=ROOT, help="a folder with other code of the box, to compare with")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="on the disk to be measured")
    parser.add_argument("--kinds", default="ct,small")
    parser.add_argument("--associations", default="1,4")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| data sets | associations | storescp, synced /s | wardgate hold /s | ratio | least to most | must |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="hold-", dir=args.folder) as name:
        folder = Path(name)
        for kind in args.kinds.split(","):
            size, count = KINDS[kind]
            for associations in (int(word) for word in args.associations.split(",")):
                rounds = by_turns(folder, args.box, size, count, associations, args.rounds)
                ratios = sorted(ours / theirs for theirs, ours in rounds)
                theirs, ours = (statistics.median(values) for values in zip(*rounds, strict=True))
                print(
                    f"| {kind} | {associations} | {theirs:.0f} | {ours:.0f} | {statistics.median(ratios):.2f} "
                    f"| {ratios[0]:.2f} to {ratios[-1]:.2f} | {MUST} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
