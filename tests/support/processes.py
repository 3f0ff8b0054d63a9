"""Starts and ends programs by their process id, with a log file each; nothing is left running."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
READY_SECONDS = 120.0
END_SECONDS = 200.0  # for a program that is run to its end: one that makes an RSA key takes a minute on a busy machine

_given: set[int] = set()
_claims: list[int] = []  # the descriptor of the file of claims, once it is open


def _claimed(port: int) -> bool:
    """Claim the port among all test processes of this user until this process ends; tell whether it was free to claim.

    A lock on the byte at the port's place: children do not inherit it, and it goes with the process, however that ends.
    """
    if not _claims:
        path = Path(tempfile.gettempdir(), f"wardgate-test-ports-{os.getuid()}")
        _claims.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        fcntl.lockf(_claims[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on, never the same one twice in a run or in two at a time.

    From below the range that the kernel takes for outgoing connections (32768 on): one of those would be gone again before its
    listener starts, once in some thousand times.
    """
    while True:
        port = random.randrange(20000, 32000)
        if port in _given or not _claimed(port):
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        return port


def until(condition: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> None:
    """Wait until `condition()` is true. Raises `AssertionError` naming `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def unix_connection(
    path: Path, process: subprocess.Popen[bytes] | Program, seconds: float = READY_SECONDS, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Return a connection to a socket that `process` opens; its file is there a moment before anybody listens. Raises `AssertionError`."""
    running = process.running if isinstance(process, Program) else lambda: process.poll() is None
    deadline = time.monotonic() + seconds
    while True:
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            sock.connect(str(path))
            return sock
        except OSError as error:
            sock.close()
            if not running() or time.monotonic() > deadline:
                raise AssertionError(f"nobody listens at {path}: {error}") from error
        time.sleep(0.05)


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Tell from the kernel's table whether a socket listens there; no connection is made."""
    wanted = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    every = f"00000000:{port:04X}"
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows6 = Path("/proc/net/tcp6").read_text().splitlines()[1:] if Path("/proc/net/tcp6").exists() else []
    for row in rows + rows6:
        _, local, _, state, *_ = row.split()
        if state == "0A" and (local in (wanted, every) or (local.endswith(f":{port:04X}") and len(local) > 20)):
            return True
    return False


def backlog(port: int) -> int:
    """Return how many connections wait at a listening socket for somebody who accepts them, from the kernel's table."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = row.split()
        if state == "0A" and local.endswith(f":{port:04X}"):
            return int(queues.partition(":")[2], 16)
    return 0


def tied(argv: Sequence[str | Path]) -> list[str]:
    """Return the words of a program that the kernel kills when the thread that started it ends, however that ends.

    For machines in QEMU: one that a killed test leaves takes a core until somebody sees it. The process id is the program's own."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]


class Program:
    """One running program. Its output goes to `log_path`."""

    def __init__(self, argv: Sequence[str | Path], log_path: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = [str(word) for word in argv]
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything it printed so far."""
        return self.log_path.read_text(errors="replace")

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = READY_SECONDS) -> int:
        """Wait for its end and return the exit status."""
        return self._process.wait(seconds)

    def wait_listening(self, *ports: int) -> None:
        """Wait until it listens on every one of `ports`; fails at once when it ended, with its last words."""

        def ready() -> bool:
            if not self.running():
                raise AssertionError(f"{self.argv[0]} ended with {self._process.returncode}:\n{self.log[-2000:]}")
            return all(listens(port) for port in ports)

        until(ready, f"{self.argv[0]} listens on {ports}")

    def stop(self, seconds: float = 20.0) -> None:
        """End it: SIGTERM, then SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.running():
                return
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)


def run(argv: Sequence[str | Path], seconds: float = END_SECONDS, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its standard output and error come back together in `stdout`."""
    return subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        env={**os.environ, **(env or {})},
        check=False,
    )


def children(pid: int) -> list[int]:
    """Return the process ids of the direct children of `pid`."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # a process may end between the listing of its parent and the look at itself
        for task in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in Path(task.path, "children").read_text().split()]
    return sorted(found)


def kill(pid: int) -> None:
    """Kill a process that a listing named; it may have ended by itself since."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def started(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty when it has ended. With its number it is that one and no other."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


def kill_rest(family: Mapping[int, str]) -> None:
    """Kill what is left of these processes (number, `started`). Numbers come again: on a busy machine within minutes."""
    for pid, when in family.items():
        if when and started(pid) == when:
            kill(pid)


def open_files() -> set[str]:
    """Return what this process has open. What threads of tests before this one close meanwhile changes nothing in what is new."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(entry.path)  # of sockets and pipes a name of its own
            found.add(target if target.startswith(("socket:", "pipe:")) else f"{entry.name} {target}")
    return {name for name in found if not name.endswith(f"/proc/{os.getpid()}/fd")}  # the look itself


def alive(pid: int) -> bool:
    """Tell whether `pid` runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
