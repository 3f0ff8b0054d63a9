"""Drives the rig: the sink as a running program, the load generator as one call."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from bench.network import Network, Place
from bench.places import Cores, Places

Numbers = dict[str, Any]


class TrialError(Exception):
    """A measurement that could not be made, or in which something went wrong."""


class Workload(NamedTuple):
    """What the load generator does. `total` associations, `concurrent` at once, each `operations` (E, S) `repeat` times."""

    operations: str = "S"
    repeat: int = 1
    concurrent: int = 1
    total: int = 0
    files: str = ""  # folder under the data folder
    stream: int = 0  # bytes of one generated object


def tls_words(places: Places, role: str, version: str) -> list[str]:
    """Return the rig's options for mutual TLS as `server` or `client`."""
    folder = places.certificates
    return ["--tls", version, "--certificate", f"{folder}/{role}.pem", "--key", f"{folder}/{role}.key", "--anchors", f"{folder}/ca.pem"]


class Sink:
    """The storage SCP at the end. `tls`: version, or "" for plain."""

    def __init__(self, places: Places, network: Network, cores: Cores, tls: str, tickets: bool, digests: Path | None) -> None:
        self.endpoint = network.endpoint(Place.HOSPITAL)
        words = [*network.prefix(Place.HOSPITAL), "taskset", "-c", cores.rig, str(places.bin / "sink"), "--on", self.endpoint]
        words += tls_words(places, "server", tls) if tls else []
        words += [] if tickets else ["--no-tickets"]
        words += ["--digests", str(digests)] if digests else []
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self._line():
            raise TrialError("the sink did not start")

    def _line(self) -> Numbers:
        assert self._process.stdout is not None
        numbers: Numbers = json.loads(self._process.stdout.readline() or b"{}")
        return numbers

    def mark(self) -> Numbers:
        """Return what it has received since the last mark."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        """End it; its digest file is complete then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def load(places: Places, network: Network, cores: Cores, to: str, work: Workload, tls: str = "", sent: Path | None = None) -> Numbers:
    """Run the load generator once. Raises `TrialError` when an association or an operation failed."""
    words = [*network.prefix(Place.MODALITY), "taskset", "-c", cores.rig, str(places.bin / "load"), "--to", to]
    words += ["--operations", work.operations, "--repeat", str(work.repeat), "--associations", str(work.concurrent)]
    words += ["--total", str(work.total or work.concurrent)]
    words += ["--files", str(places.data / work.files)] if work.files else []
    words += ["--stream", str(work.stream)] if work.stream else []
    words += [*tls_words(places, "client", tls), "--resume"] if tls else []
    words += ["--sent", str(sent)] if sent else []
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise TrialError(done.stderr.decode(errors="replace").strip()[-300:] or f"load ended with {done.returncode}")
    numbers: Numbers = json.loads(done.stdout)
    return numbers
