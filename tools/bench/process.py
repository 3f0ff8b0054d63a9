"""What a tree of processes costs: CPU seconds and resident memory, read from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                found += [int(child) for child in Path(f"/proc/{parent}/task/{task}/children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the tree, ended children included.

    The process CPU clock has nanoseconds where /proc/PID/stat has ticks of 10 ms; ended children are only in the latter.
    """
    total = 0.0
    for member in tree(pid):
        try:
            total += time.clock_gettime((~member << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
            fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[13]) + int(fields[14])) / _TICKS
        except OSError:
            continue
    return total


def forget_peak(pid: int) -> None:
    """Let the kernel's peak RSS of each process of the tree begin anew (proc(5), clear_refs)."""
    for member in tree(pid):
        try:
            Path(f"/proc/{member}/clear_refs").write_text("5")
        except OSError:
            continue


def peak_rss(pid: int) -> int:
    """Return the sum of the peak RSS of each process of the tree since `forget_peak`, bytes. Shared pages count in each."""
    return sum(_status_bytes(member, "VmHWM:") for member in tree(pid))


def proportional_rss(pid: int) -> int:
    """Return the tree's memory now with shared pages divided among those who share them (PSS), bytes."""
    total = 0
    for member in tree(pid):
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


def _status_bytes(pid: int, word: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(word)), 0)


def machine_busy_seconds() -> float:
    """Return the CPU seconds that this machine has spent on anything but idling since it started."""
    with open("/proc/stat") as stat:
        fields = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS  # less idle and iowait


def stop(process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """End a process that we started: SIGTERM, and SIGKILL to its tree when that does not help in `seconds`."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        for member in reversed(tree(process.pid)):
            try:
                os.kill(member, signal.SIGKILL)
            except OSError:
                continue
        process.wait()
