"""The box in the cable against a bare bridge and against stunnel with `transparent = source`, in one run: `python -m bench.cable`.

Latency: C-ECHO on one association. Throughput: large objects on one association. Network namespaces as in the cable tests, no shaping:
the numbers compare, they promise nothing. stunnel cannot be a bridge: it gets a router between two subnets.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from bench.places import HERE, ROOT, Places
from support.netns import can
from support.plant import CLEAR, PACS, TLS, Plant
from support.processes import until
from wardtools.pki import Pki, make_test_pki

ROUNDS = 3
ECHOES, OBJECT_BYTES, OBJECTS = 2000, 100 << 20, 5
Start = Callable[[Plant], tuple[str, bool]]  # makes the box; returns where the modality calls, and whether the PACS speaks TLS


def bare(plant: Plant) -> tuple[str, bool]:
    """A bridge without rules; the PACS speaks plain."""
    plant.box.do("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
    for port in ("mod0", "hosp0"):
        plant.box.do("ip", "link", "set", port, "master", "br0", "up")
    plant.box.do("ip", "link", "set", "br0", "up")
    return f"{PACS}:{TLS}", False


def wardgate(plant: Plant) -> tuple[str, bool]:
    """The product: rules, TLS, SHA-256 of every data set, custody log."""
    plant.settings.modality_ae = plant.settings.pacs_ae = ["*"]
    plant.start()
    return f"{PACS}:{CLEAR}", True


def stunnel(plant: Plant) -> tuple[str, bool]:
    """stunnel in a router, with the modality's source address; TLS, nothing else."""
    for words in (
        "addr add 10.88.0.1/24 dev mod0", "addr add 10.77.0.9/24 dev hosp0", "link set mod0 up", "link set hosp0 up",
        "rule add fwmark 1 lookup 100", "route add local default dev lo table 100",
    ):  # fmt: skip
        plant.box.do("ip", *words.split())
    plant.box.do("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.hosp0.rp_filter=0", "net.ipv4.ip_forward=1")
    chain = "type filter hook prerouting priority mangle; meta l4proto tcp socket transparent 1 meta mark set 1 accept;"
    plant.box.do("nft", f"table inet s {{ chain p {{ {chain} }}; }}")
    plant.modality.do("ip", "addr", "flush", "dev", "eth0")
    plant.modality.do("ip", "addr", "add", "10.88.0.5/24", "dev", "eth0")
    plant.modality.do("ip", "route", "add", "10.77.0.0/24", "via", "10.88.0.1")
    plant.pacs.do("ip", "route", "add", "10.88.0.0/24", "via", "10.77.0.9")
    leaf = plant.pki.leaf("box-ecdsa")
    lines = ["foreground = yes", "pid =", "debug = 3", "syslog = no", "socket = l:TCP_NODELAY=1", "socket = r:TCP_NODELAY=1", "[gateway]"]
    lines += ["client = yes", f"accept = 10.88.0.1:{CLEAR}", f"connect = {PACS}:{TLS}", "transparent = source", "TIMEOUTclose = 0"]
    lines += [f"cert = {leaf.chain}", f"key = {leaf.key}", f"CAfile = {plant.pki.root}", "verifyChain = yes"]
    config = plant.folder / "stunnel.conf"
    config.write_text("\n".join(lines) + "\n")
    program = plant.box.start(["stunnel", str(config)], plant.folder / "stunnel.log")
    plant.programs.append(program)
    until(lambda: plant.box.listens(CLEAR), "stunnel listens")
    return f"10.88.0.1:{CLEAR}", True


def measure(places: Places, pki: Pki, start: Start) -> dict[str, float]:
    """Build the plant, run the load generator, take it down."""
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        plant = Plant(Path(name), pki)
        sink: subprocess.Popen[bytes] | None = None
        try:
            for place in (plant.modality, plant.box, plant.pacs):
                with suppress(AssertionError):
                    place.do("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")  # a default of bbr paces even veth
            to, tls = start(plant)
            leaf = pki.leaf("pacs-ecdsa")
            secure = ["--tls", "1.3", "--certificate", str(leaf.chain), "--key", str(leaf.key), "--anchors", str(pki.root)] if tls else []
            words = plant.pacs.argv([places.bin / "sink", "--on", f"{PACS}:{TLS}", *secure])
            sink = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            until(lambda: plant.pacs.listens(TLS), "the sink listens")
            _load(plant, places, to, "E", 20, 0)  # addresses are learned, sessions are made
            echo = _load(plant, places, to, "E", ECHOES, 0)
            store = _load(plant, places, to, "S", OBJECTS, OBJECT_BYTES)
            return {"echo_us": _echo(echo), "MB_s": _rate(store)}
        finally:
            if sink is not None:
                sink.kill()
                sink.wait()
            plant.close()


def _load(plant: Plant, places: Places, to: str, operations: str, repeat: int, stream: int) -> dict[str, Any]:
    words: list[str | Path] = [places.bin / "load", "--to", to, "--operations", operations, "--repeat", str(repeat), "--associations", "1"]
    words += ["--total", "1", *(["--stream", str(stream)] if stream else [])]
    done = plant.modality.run(*words, seconds=120)
    if done.returncode:
        raise AssertionError(done.stdout[-500:] + plant.log[-1500:])
    numbers: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return numbers


def _echo(numbers: dict[str, Any]) -> float:
    return float(numbers["echo_us"]["p50"])


def _rate(numbers: dict[str, Any]) -> float:
    return OBJECTS * OBJECT_BYTES / float(numbers["wall"]) / 1e6


def main() -> int:
    """Measure in interleaved rounds and print medians."""
    if can() is not None:
        sys.stderr.write(f"{can()}\n")
        return 1
    places = Places(ROOT / "build" / "bench")
    places.bin.mkdir(parents=True, exist_ok=True)
    subprocess.run(["make", "-s", "-C", HERE / "rig", f"OUT={places.bin}"], check=True)
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        pki = make_test_pki(Path(name) / "pki", defects=False)
        found: dict[str, list[dict[str, float]]] = {start.__name__: [] for start in (bare, stunnel, wardgate)}
        for _ in range(ROUNDS):
            for start in (bare, stunnel, wardgate):
                found[start.__name__].append(measure(places, pki, start))
    sys.stdout.write(f"{'':10} {'C-ECHO p50, us':>16} {'MB/s':>8}\n")
    for title, rounds in found.items():
        sys.stdout.write(f"{title:10} {median(r['echo_us'] for r in rounds):16.0f} {median(r['MB_s'] for r in rounds):8.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
