"""Row 11: user-space instructions a byte of an arm64 gateway, counted by qemu. Says the same on a busy and on a quiet machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench import sysroot
from bench.compare import Tally, against, medians
from bench.gateways import HAPROXY, STUNNEL, Command, Job, Subject, wardgate
from bench.places import one_core
from bench.report import Line, Sense
from bench.rig import Sink, TrialError, Workload, load
from bench.trial import Bench, Gateway, Scenario

_CPU = "cortex-a53"  # with the cryptography extensions
_WARM = Workload(repeat=4, files="ct")
_COUNTED = Scenario("arm64 instructions, CT", Workload(repeat=40, files="ct"))
_RUNS = 3
_READY_SECONDS = 180.0
_SETTLE_SECONDS = 0.5  # until what the load left behind is done


class Emulated:
    """Commands of arm64 programs of a sysroot under qemu-user with the counting plugin."""

    def __init__(self, root: Path, plugin: Path) -> None:
        self._root = root
        self._plugin = plugin

    def words(self, job: Job, *options: str) -> list[str]:
        """Return the emulator with its options; the count is kept in the job's folder."""
        plugin = f"{self._plugin},out={counter(job.work)}"
        return ["qemu-aarch64", "-cpu", _CPU, "-plugin", plugin, *options, "-L", str(self._root)]

    def program(self, path: str, command: Command) -> Command:
        """Return the native `command` with its program replaced by the one at `path` in the sysroot."""
        return lambda job: [*self.words(job), f"{self._root}/{path}", *command(job)[1:]]

    def product(self) -> Command:
        """Return the product under the sysroot's Python. It starts its processes as `sys.executable`: a script that emulates again."""

        def command(job: Job) -> list[str]:
            python = job.work / "python"
            emulator = " ".join(self.words(job, "-0", '"$0"'))
            python.write_text(f'#!/bin/sh\nPYTHONHOME={self._root}/usr exec {emulator} {self._root}/usr/bin/python3.11 "$@"\n')
            python.chmod(0o700)
            native = wardgate("--durable", "none", "--python", str(python)).command
            assert native is not None
            return native(job)

        return command


def counter(work: Path) -> Path:
    """Return where the plugin counts."""
    return work / "instructions"


def lines(bench: Bench, tally: Tally) -> list[Line]:
    """Measure row 11."""
    print("bench: arm64 instructions", file=sys.stderr, flush=True)
    assert STUNNEL.command
    assert HAPROXY.command
    emulated = Emulated(sysroot.make(bench.places.base / "arm64"), bench.places.bin / "libicount.so")
    subjects = [
        Subject("stunnel", emulated.program("usr/bin/stunnel4", STUNNEL.command)),
        Subject("haproxy", emulated.program("usr/sbin/haproxy", HAPROXY.command)),
        Subject("wardgate", emulated.product()),
    ]
    runs: list[dict[str, float]] = []
    for _ in range(_RUNS):
        found = {}
        for subject in subjects:
            try:
                found[subject.name] = _instructions_per_byte(bench, subject)
            except TrialError as error:
                tally.fail(error)
        runs.append(found)
    note = f"unsynced; instructions/B: {medians(runs, float, '{:.2f}')}"
    pair = against(runs, float, "wardgate")
    return [Line("11", "arm64 user instructions a byte, CT / stunnel", *pair, Sense.AT_MOST, 1.75, note)]


def _instructions_per_byte(bench: Bench, subject: Subject) -> float:
    cores = one_core()
    sink = Sink(bench.places, bench.network, cores, _COUNTED.tls, tickets=True, digests=None)
    gateway = Gateway(bench.places, bench.network, cores, subject, _COUNTED, sink.endpoint)
    try:
        bench.wait_ready(gateway, cores, "", _READY_SECONDS)
        load(bench.places, bench.network, cores, gateway.endpoint, _WARM)
        before = _read(gateway.work)
        numbers = load(bench.places, bench.network, cores, gateway.endpoint, _COUNTED.work)
        return (_read(gateway.work) - before) / float(numbers["bytes"])
    except TrialError as error:
        raise TrialError(f"{_COUNTED.name}, {subject.name}: {error} {gateway.said()}") from error
    finally:
        gateway.close()
        sink.close()
        gateway.forget()


def _read(work: Path) -> int:
    time.sleep(_SETTLE_SECONDS)
    return int.from_bytes(counter(work).read_bytes()[:8], sys.byteorder)
