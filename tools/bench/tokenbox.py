"""A slow card and a token, measured at the whole gateway. `make bench-tokens` runs it.

*Rate*: full mutual handshakes a second with two boxes, one with its key in a SoftHSM token, one with the same key in a file; rounds
take turns. *Stall*: the longest C-ECHO round trip of an association that runs already, in one worker, while twenty associations with
TLS arrive at once for a key that takes 300 ms a signature (a stand-in for a card), and, to compare, for a key in a file and for nobody
at all. Seven times: one number says more of the machine than of the box. `python -m bench.tokenbox stalls` measures these alone.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from support.bench import Bench
from support.processes import LOOPBACK, free_port
from support.softhsm import python_path
from support.standin_keys import uri_of
from support.tlskit import shared_pki
from support.tokenkit import TokenKit, key_of, make_leaves
from support.wire import Wire, associate_ac, echo_rq, echo_rsp, pdu, pdv

ROUNDS = 7
HANDSHAKES = 200
CARD_SECONDS = 0.3
CALLERS = 20
PING_SECONDS = 0.002
BURSTS = 7


def box_rates(kit: TokenKit, name: str, workers: int = 2) -> tuple[float, float]:
    """Return the median rates with the key in a file and in the token."""
    pki = shared_pki()
    boxes: list[Bench] = []
    rates: tuple[list[float], list[float]] = ([], [])
    try:
        for key in (pki.leaf(name).key, str(key_of(name))):
            box = Bench(Path(tempfile.mkdtemp(prefix="wg-")), pki)
            box.plan.workers = workers
            box.plan.peers = (replace(box.peer, certificates=((pki.leaf(name).chain, key),)),)
            box.plan.keys = {"socket": kit.service.socket}
            boxes.append(box)
            box.start()
        for _ in range(ROUNDS):
            for box, found in zip(boxes, rates, strict=True):
                report = burst(caller(box.peer.calls, 8, HANDSHAKES))
                assert not report["failed"], report
                found.append(report["done"] / report["seconds"])
    finally:
        for box in boxes:
            box.close()
    return statistics.median(rates[0]), statistics.median(rates[1])


def caller(port: int, threads: int, count: int, *titles: str) -> subprocess.Popen[str]:
    """Return a process that calls as soon as it is told to: its start is no part of any figure."""
    environment = {**os.environ, **python_path(), "WARDGATE_TEST_PKI": str(shared_pki().directory)}
    words = [sys.executable, "-m", "support.shaker", str(port), str(threads), str(count), *titles]
    process = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def burst(process: subprocess.Popen[str]) -> dict[str, float]:
    """Let it call and return what it reports."""
    told, _ = process.communicate("go\n", 300)
    report: dict[str, float] = json.loads(told)
    return report


class Ponging:
    """A DICOM application entity that takes every association and answers every C-ECHO, on `port`."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server((LOOPBACK, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with wire:
            try:
                wire.send(associate_ac(wire.whole()))
                while (kind := wire.read()[0]) == 4:
                    wire.send(pdv(1, 3, echo_rsp()))
                if kind == 5:
                    wire.send(pdu(6, bytes(4)))
            except OSError:
                pass


def stalls() -> dict[str, tuple[float, float, float]]:
    """Return the median, 99.9th percentile and longest round trip in milliseconds: quiet, and during each kind of burst."""
    pki, folder = shared_pki(), Path(tempfile.mkdtemp(prefix="wg-"))
    leaf = pki.leaf("box-ecdsa")
    box = Bench(folder, pki)
    on_card = replace(box.peer, certificates=((leaf.chain, uri_of("box-ecdsa")),))
    in_file = replace(box.peer, name="file", ae_titles=("FILE",), calls=free_port(), certificates=((leaf.chain, leaf.key),))
    plain = replace(box.peer, name="plain", ae_titles=("PLAIN",), transport="plain", port=free_port(), calls=free_port())
    box.plan.peers = (on_card, in_file, plain)
    box.plan.keys = {"socket": folder / "keys.sock", "sign_seconds": 15}
    environment = {**os.environ, **python_path()}
    words = [sys.executable, "-m", "support.standin_keys", folder / "keys.sock", str(CARD_SECONDS), f"box-ecdsa={leaf.key}"]
    found: dict[str, tuple[float, float, float]] = {}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as card:
        assert card.stdout is not None
        card.stdout.readline()
        try:
            Ponging(plain.port)
            Ponging(box.plan.modality_port)
            box.start()
            with Wire(socket.create_connection((LOOPBACK, box.plan.listen), 30)) as wire:
                wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire.associate("CT1", "PLAIN")
                found["nobody"] = _pings(wire, lambda: time.sleep(6.0))
                for what, peer, title in (("20 on a 300 ms card", on_card, "PACS"), ("20 with the key in a file", in_file, "FILE")):
                    reports: list[dict[str, float]] = []

                    process = caller(peer.calls, CALLERS, CALLERS, title, "CT1")

                    def call(process: subprocess.Popen[str] = process, into: list[dict[str, float]] = reports) -> None:
                        into.append(burst(process))

                    found[what] = _pings(wire, call)
                    assert reports[0]["done"] == CALLERS, reports
        finally:
            box.close()
            card.terminate()
    return found


def _pings(wire: Wire, work: object) -> tuple[float, float, float]:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    trips: list[float] = []
    while thread.is_alive():
        began = time.perf_counter()
        wire.send(pdv(1, 3, echo_rq()))
        wire.read()
        trips.append((time.perf_counter() - began) * 1000)
        time.sleep(PING_SECONDS)
    thread.join()
    trips.sort()
    return trips[len(trips) // 2], trips[int(len(trips) * 0.999)], trips[-1]


def print_stalls() -> None:
    """Print the longest round trips of every burst."""
    found = [stalls() for _ in range(BURSTS)]
    print(f"\n| C-ECHO round trip, ms, {BURSTS} bursts | median | 99.9 % | longest of each burst |\n|---|---|---|---|")
    for what in found[0]:
        median, most = (max(burst[what][place] for burst in found) for place in (0, 1))
        longest = ", ".join(f"{burst[what][2]:.1f}" for burst in sorted(found, key=lambda burst, what=what: burst[what][2]))  # type: ignore[misc]
        print(f"| {what} | {median:.1f} | {most:.1f} | {longest} |", flush=True)


def main(words: list[str]) -> int:
    """Print both tables."""
    make_leaves()
    if "stalls" in words:
        print_stalls()
        return 0
    kit = TokenKit("box-ecdsa", "box-rsa")
    print("| whole gateway, key | file, 1/s | token, 1/s | token / file |\n|---|---|---|---|")
    try:
        for name in ("box-ecdsa", "box-rsa"):
            in_file, in_token = box_rates(kit, name)
            print(f"| {name} | {in_file:.0f} | {in_token:.0f} | {in_token / in_file:.2f} |", flush=True)
    finally:
        kit.close()
    print_stalls()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
