"""One measurement: a fresh sink, a fresh gateway, one load; what came of it and what it cost."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench import digests, process
from bench.gateways import Direction, Job, Subject
from bench.network import Network, Place
from bench.places import Cores, Places
from bench.rig import Numbers, Sink, TrialError, Workload, load

_READY_SECONDS = 30.0
_SETTLE_SECONDS = 10.0
_SETTLED_CPU = 0.004  # seconds in 0.2
_WARM_UP = Workload("E", repeat=3)


class Scenario(NamedTuple):
    """One kind of measurement, the same for every gateway."""

    name: str
    work: Workload
    direction: Direction = Direction.OUT
    tls: str = "1.3"
    tickets: bool = True


class Result(NamedTuple):
    """Figures of one measurement. CPU in seconds, memory in bytes, latency in microseconds."""

    load: Numbers
    sink: Numbers
    cpu: float
    peak_rss: int
    pss: int
    foreign: float  # processors used by others meanwhile
    wrong: digests.Wrong

    def megabytes_per_second(self) -> float:
        """Data set bytes."""
        return float(self.load["bytes"] / 1e6 / self.load["wall"])

    def instances_per_second(self) -> float:
        """From the first connect to the last release."""
        return float(self.load["stores"] / self.load["wall"])

    def cpu_per_gigabyte(self) -> float:
        """Seconds."""
        return float(self.cpu / (self.load["bytes"] / 1e9))

    def rig_per_gigabyte(self) -> float:
        """Seconds that load generator and sink used."""
        return float((self.load["cpu"] + self.sink["cpu"]) / (self.load["bytes"] / 1e9))

    def cpu_per_association(self) -> float:
        """Seconds."""
        return float(self.cpu / self.load["associations"])

    def echo_us(self) -> float:
        """Median."""
        return float(self.load["echo_us"]["p50"])


class Gateway:
    """A running gateway, or nothing when the subject is the direct connection."""

    def __init__(self, places: Places, network: Network, cores: Cores, subject: Subject, scenario: Scenario, target: str) -> None:
        self.work = Path(tempfile.mkdtemp(dir=places.work, prefix=""))
        self.endpoint = target
        self.process: subprocess.Popen[bytes] | None = None
        self._log = self.work / "log"
        if subject.command is None:
            return
        self.endpoint = network.endpoint(Place.BOX)
        role, count = ("client" if scenario.direction is Direction.OUT else "server"), cores.gateway.count(",") + 1
        chain, key, anchors = (places.certificates / name for name in (f"{role}.pem", f"{role}.key", "ca.pem"))
        job = Job(self.endpoint, target, chain, key, anchors, self.work, scenario.direction, count, scenario.tls)
        words = [*network.prefix(Place.BOX), "taskset", "-c", cores.gateway, *subject.command(job)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work)

    @property
    def pid(self) -> int:
        """Of the tree's root; 0 without a gateway."""
        return self.process.pid if self.process else 0

    def said(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-400:].strip() if self._log.exists() else ""

    def running(self) -> bool:
        """False when a gateway was started and has ended."""
        return self.process is None or self.process.poll() is None

    def close(self) -> None:
        """Stop it; its log and custody log stay until `forget`."""
        if self.process:
            process.stop(self.process)

    def forget(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.work, ignore_errors=True)


class Bench:
    """Makes measurements on one network."""

    def __init__(self, places: Places, network: Network) -> None:
        self.places = places
        self.network = network

    def measure(self, scenario: Scenario, subject: Subject, cores: Cores, check_sink: bool = False) -> Result:
        """Measure once. `check_sink`: also the sink hashes (then the speed means nothing). Raises `TrialError`."""
        plain_sink = subject.command is None or scenario.direction is Direction.IN
        caller_tls = scenario.tls if subject.command and scenario.direction is Direction.IN else ""
        received = self.places.work / "received" if check_sink else None
        sink = Sink(self.places, self.network, cores, "" if plain_sink else scenario.tls, scenario.tickets, received)
        gateway = Gateway(self.places, self.network, cores, subject, scenario, sink.endpoint)
        try:
            self.wait_ready(gateway, cores, caller_tls)
            self._wait_settled(gateway)
            result = self._load(scenario, subject, gateway, sink, cores, caller_tls)
            gateway.close()
            sink.close()
            wrong = digests.compare(self._sent, received, gateway.work / "custody" if subject.has_custody else None)
        except TrialError as error:
            raise TrialError(f"{scenario.name}, {subject.name}: {error} {gateway.said()}") from error
        finally:
            gateway.close()
            sink.close()
            gateway.forget()
        return result._replace(wrong=wrong)

    @property
    def _sent(self) -> Path:
        return self.places.work / "sent"

    def wait_ready(self, gateway: Gateway, cores: Cores, tls: str, seconds: float = _READY_SECONDS) -> None:
        """Wait until C-ECHOs get through. Raises `TrialError`."""
        end = time.monotonic() + seconds
        while True:
            try:
                load(self.places, self.network, cores, gateway.endpoint, _WARM_UP, tls)
                return
            except TrialError:
                if not gateway.running() or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    @staticmethod
    def _wait_settled(gateway: Gateway) -> None:
        """Wait until a gateway that serves has done with its own start: what it does then is not what the load costs."""
        end = time.monotonic() + _SETTLE_SECONDS
        used = process.cpu_seconds(gateway.pid) if gateway.pid else 0.0
        while gateway.pid and time.monotonic() < end:
            time.sleep(0.2)
            before, used = used, process.cpu_seconds(gateway.pid)
            if used - before < _SETTLED_CPU:
                return

    def _load(self, scenario: Scenario, subject: Subject, gateway: Gateway, sink: Sink, cores: Cores, tls: str) -> Result:
        pid = gateway.pid
        sink.mark()
        process.forget_peak(pid)
        cpu, busy, began = process.cpu_seconds(pid), process.machine_busy_seconds(), time.monotonic()
        numbers = load(self.places, self.network, cores, gateway.endpoint, scenario.work, tls, self._sent)
        took = time.monotonic() - began
        cpu = process.cpu_seconds(pid) - cpu if pid else 0.0
        busy = process.machine_busy_seconds() - busy
        seen = sink.mark()
        for word in ("stores", "bytes", "echoes"):
            if seen[word] != numbers[word]:
                raise TrialError(f"the sink saw {seen[word]} {word}, {numbers[word]} were sent")
        hashing = took - numbers["wall"]  # the load generator's own, before it starts and after it ends
        foreign = max(0.0, busy - cpu - seen["cpu"] - numbers["cpu"] - hashing) / max(took, 0.05)
        return Result(numbers, seen, cpu, process.peak_rss(pid), process.proportional_rss(pid), foreign, digests.Wrong(0, 0))
