"""Runs the product: `wardgate run` on a written configuration, with its log, codes, processes and custody log at hand."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

from support.config import Plan
from support.processes import END_SECONDS, READY_SECONDS, Program, alive, children, kill_rest, listens, run, started, until

ROOT = Path(__file__).resolve().parents[2]
_ENV = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm", "tools"))}

_PATIENCE_SECONDS = 20.0
_SILENT = re.compile(r"^ *(worker|custody:|hold:|plant:).* does not answer$", re.MULTILINE)
WARDGATE = (sys.executable, "-m", "wardgate")
WARDTOOL = (sys.executable, "-m", "wardtools.main")


def tool(*words: str | Path, seconds: float = END_SECONDS) -> CompletedProcess[str]:
    """Run `wardtool` with `words`."""
    return run((*WARDTOOL, *words), seconds, _ENV)


class Gateway:
    """One running box. Use as a context manager; leaving it stops it and checks nothing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.config = plan.write()
        self.public_key = plan.folder / "custody.vkey"  # the auditor's own copy, taken when the log was new
        self._starts = 0
        self.program: Program | None = None

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> CompletedProcess[str]:
        """Run `wardgate check`."""
        return run((*WARDGATE, "check", "-c", self.config), env=_ENV)

    def status(self) -> CompletedProcess[str]:
        """Run `wardgate status`; again while the box runs and something of it has not answered in time, as on a busy machine."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            done = run((*WARDGATE, "status", "-c", self.config), env=_ENV)
            whole = done.returncode == 0 and not _SILENT.search(done.stdout)
            if whole or self.program is None or not self.program.running() or time.monotonic() > deadline:
                return done

    def hold(self, command: str, *words: str | Path) -> CompletedProcess[str]:
        """Run `wardgate hold`."""
        return run((*WARDGATE, "hold", command, "-c", self.config, *words), env=_ENV)

    def start(self, before: Sequence[str | Path] = ()) -> None:
        """Start it and wait until every port of it listens. `before`: words put before the command (`unshare ...`)."""
        self._starts += 1
        log = self.plan.folder / f"wardgate-{self._starts}.log"
        self.program = Program((*before, *WARDGATE, "run", "-c", self.config), log, _ENV)
        ports = [self.plan.listen, *(peer.calls for peer in self.plan.peers)]
        self.program.wait_listening(*ports)
        until(lambda: "WG201" in self._last_log(), "the box says that it listens")
        self.take_key()

    def take_key(self) -> None:
        """Copy the log's public key once it is there: a log whose token is out when it begins has none yet."""
        if self.public_key.exists():
            return
        with contextlib.suppress(FileNotFoundError):
            self.public_key.write_bytes(Path(f"/proc/{self.master}/root{self.plan.log_dir.resolve()}/vkey").read_bytes())

    def _last_log(self) -> str:
        if self.program is None or not self.program.running():
            raise AssertionError(f"the box ended:\n{self.log[-3000:]}")
        return self.program.log

    def stop(self) -> None:
        """Stop it and whatever it started."""
        if self.program is None:
            return
        family = {pid: started(pid) for pid in self.family()}
        self.program.stop(READY_SECONDS)  # what it says and signs at its end is looked for
        kill_rest(family)

    # What it says

    @property
    def log(self) -> str:
        """The log of all its starts."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.plan.folder.glob("wardgate-*.log")))

    def codes(self) -> list[str]:
        """Return the codes of its log, in order (`WG201`)."""
        return re.findall(r"\b(WG\d{3})\b", self.log)

    def wait_code(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until its log carries one of the codes of these names (`Code` members)."""
        from wardgate.codes import Code

        wanted = {str(Code[name]) for name in names}
        try:
            until(lambda: wanted & set(self.codes()), f"one of {names} in the log", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    # Its processes

    @property
    def master(self) -> int:
        """The process id of the master (below `before`, if that did not replace itself)."""
        return next(pid for pid in self.family() if b"run" in _words(pid) and b"wardgate" in _words(pid))

    def family(self) -> list[int]:
        """Every process of the box, the first started first."""
        found, todo = [], [self.program.pid] if self.program else []
        while todo:
            pid = todo.pop(0)
            if alive(pid):
                found.append(pid)
            todo += children(pid)
        return found

    def writer(self) -> int:
        """The process id of the custody writer."""
        return next(pid for pid in self.family() if b"wardgate.hold.writer" in _words(pid))

    def forwarder(self) -> int:
        """The process id of the hold forwarder."""
        return next(pid for pid in self.family() if b"wardgate.hold.forwarder" in _words(pid))

    def audit_senders(self) -> list[int]:
        """The process ids of the audit sender: none while it is started anew."""
        return [pid for pid in self.family() if b"wardgate.audit.sender" in _words(pid)]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid in self.family() if b"wardgate.relay.worker" in _words(pid)]

    def listens(self) -> bool:
        """Tell whether the modality's port listens."""
        return listens(self.plan.listen)


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
