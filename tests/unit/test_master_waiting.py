"""The worker that waits for its configuration: who takes it, and what is told when it cannot be taken."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.codes import Code
from wardgate.master import control
from wardgate.master.children import Children
from wardgate.master.generation import Generation
from wardgate.master.listeners import Listeners
from wardgate.master.loop import Loop
from wardgate.master.waiting import Waiting

ROOT = Path(__file__).resolve().parents[2]
ECHO = "import os, socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.send(b'here'); d, f, _, _ = socket.recv_fds(s, 99, 250);"
ANSWERS = f"{ECHO} s.send(b'%d %s' % (len(f), d)); s.recv(9)"


class Tools:
    """A loop with its children and events."""

    def __init__(self) -> None:
        self.loop, self.children = Loop(), Children()
        self.told: list[tuple[Code, dict[str, Any]]] = []
        self.events: Any = SimpleNamespace(event=lambda code, **fields: self.told.append((code, fields)))
        self.loop.on_signal(signal.SIGCHLD, self.children.reap)

    def waiting(self, program: str) -> Waiting:
        made = Waiting(self.loop, self.children, self.events, (sys.executable, "-c", program))
        made.begin()
        return made

    def until_none_is_left(self) -> None:
        def look() -> None:
            if len(self.children):
                self.loop.after(0.02, look)
            else:
                self.loop.stop()

        look()
        self.loop.run()


@pytest.fixture
def tools() -> Iterator[Tools]:
    before = signal.getsignal(signal.SIGCHLD)
    yield Tools()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)


def test_who_takes_it_has_its_pid_its_line_and_its_end(tools: Tools) -> None:
    waiting = tools.waiting(ANSWERS)
    pid, ends = waiting.pid, list[str]()
    taken = waiting.take(b"start", [0, 1], ends.append)
    assert taken is not None and taken[0] == pid and waiting.pid == 0
    line = taken[1]
    line.setblocking(True)
    assert (line.recv(99), line.recv(99)) == (b"here", b"2 start")
    assert waiting.take(b"start", [], ends.append) is None, "there was one"
    waiting.stop()
    line.close()
    tools.until_none_is_left()
    assert ends == ["exit 0"] and tools.told == []


def test_one_that_is_not_wanted_ends_and_nothing_is_told(tools: Tools) -> None:
    waiting = tools.waiting("import time; time.sleep(300)")  # also one that hears nothing
    gone: list[str] = []
    waiting.stop()
    waiting.stop(lambda: gone.append("gone"))
    assert waiting.take(b"start", [], lambda _how: None) is None
    tools.until_none_is_left()
    assert gone == ["gone"] and tools.told == []
    waiting.stop(tools.loop.stop)
    tools.loop.run()


def test_one_that_does_not_read_any_more_is_not_taken_and_its_death_is_told(tools: Tools) -> None:
    """It has ended, which was not seen yet."""
    waiting = tools.waiting("import os, sys; os.close(int(sys.argv[1])); sys.exit(7)")
    pid = waiting.pid
    line = waiting._control
    assert line is not None
    line.setblocking(True)
    assert line.recv(1) == b""
    assert waiting.take(b"start", [0], lambda _how: pytest.fail("not taken")) is None
    waiting.stop()
    tools.until_none_is_left()
    assert tools.told == [(Code.WORKER_DIED, {"worker": 0, "pid": pid, "how": "exit 7"})]


def test_more_descriptors_than_one_message_carries_need_a_worker_that_inherits_them(tools: Tools) -> None:
    waiting = tools.waiting(ANSWERS)
    fds = [os.dup(0) for _ in range(control.MAX_FDS + 1)]
    try:
        assert waiting.take(b"start", fds, lambda _how: None) is None and waiting.pid
        taken = waiting.take(b"start", fds[1:], lambda _how: None)
    finally:
        for fd in fds:
            os.close(fd)
    assert taken is not None
    taken[1].setblocking(True)
    assert (taken[1].recv(99), taken[1].recv(99)) == (b"here", f"{control.MAX_FDS} start".encode())
    taken[1].close()
    tools.until_none_is_left()


def test_a_worker_that_hears_nothing_from_a_master_that_ended_leaves_without_a_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    argv = (sys.executable, "-P", "-m", "wardgate.relay.worker", str(theirs.fileno()))
    done = subprocess.run(argv, pass_fds=(theirs.fileno(),), env=environment, capture_output=True, timeout=60, check=False)
    theirs.close()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("room", [0, 2])
def test_a_worker_that_has_no_room_for_its_descriptors_does_not_use_others_of_the_same_numbers(room: int) -> None:
    """The kernel gives it as many as fit, and says so (MSG_CTRUNC)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = (
        "import os, resource, sys; from wardgate.relay.child import begin; free = os.dup(0); os.close(free);"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (free + {room},) * 2);"
        "sys.exit(begin('x', lambda control, start: lambda: print('served with', start['fds'])))"
    )
    fds = [os.dup(0) for _ in range(3)]
    try:
        socket.send_fds(ours, [control.encode({"do": "start", "fds": fds})], fds)
        environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
        argv = (sys.executable, "-P", "-c", code, str(theirs.fileno()))
        done = subprocess.run(argv, pass_fds=(theirs.fileno(),), env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for fd in fds:
            os.close(fd)
        ours.close()
        theirs.close()
    assert (done.returncode, done.stdout) == (2, "") and f"{room} descriptors of the 3" in done.stderr


def test_one_that_is_refused_its_start_message_and_hears_nothing_is_ended(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses for other reasons too than that nobody reads: too many descriptors are on their way, no memory."""

    def refused(*_: object) -> int:
        raise OSError(errno.ETOOMANYREFS, "too many")

    waiting = tools.waiting("import time; time.sleep(300)")
    pid = waiting.pid
    monkeypatch.setattr(socket, "send_fds", refused)
    assert waiting.take(b"start", [0], lambda _how: pytest.fail("not taken")) is None
    waiting.stop(tools.loop.stop)
    tools.loop.after(20.0, tools.loop.stop)
    tools.loop.run()
    try:
        assert not len(tools.children)
    finally:
        tools.children.signal(pid, signal.SIGKILL)


def test_a_master_that_has_no_descriptor_for_it_goes_on_without(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(control, "pair", refused)
    waiting = tools.waiting(ANSWERS)
    assert not waiting.pid and waiting.take(b"start", [], lambda _how: None) is None and tools.told == []


def test_a_generation_whose_worker_cannot_be_started_is_gone_once(tools: Tools) -> None:
    """It stops itself, and so does the master that gives up for it: the end of the box is told once."""
    answer = {"config": {"links": [], "box": {"workers": 1}, "limits": {"drain_seconds": 1}}}
    gone: list[str] = []
    parts: Any = SimpleNamespace(fd=0, take=lambda: -1, give_back=lambda _part: None)
    tokens: Any = SimpleNamespace(refusals={})
    listeners = Listeners(lambda _endpoint: socket.socket())
    generation = Generation(
        *(1, answer, tools.loop, tools.children, tools.events, listeners, ("/not/there",), tokens, parts),
        *(lambda _: None, lambda failed: failed.stop(), lambda _: gone.append("gone")),
    )
    generation.start()
    tools.loop.after(0.1, tools.loop.stop)
    tools.loop.run()
    assert gone == ["gone"] and [code for code, _ in tools.told] == [Code.START_FAILED]
