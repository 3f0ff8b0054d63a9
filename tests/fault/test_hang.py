"""A process that hangs has not died: it is noticed, by the master or by the service manager (whose end of sd_notify a test holds)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.bench import Bench
from support.config import PeerPlan, Plan
from support.keyservice import KeyService
from support.manager import Manager
from support.processes import Program, children, kill_rest, started, until
from wardgate.master.show import ask_master

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "tests"))}
pytestmark = pytest.mark.alone

PETS_SECONDS = 1.5  # with a watchdog of 3 s a process that is well pets every half second
LATE_SECONDS = 4.0  # no pet for so long: the service manager has ended it


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Every process that is started hears of it."""
    made = Manager(folder, 3.0)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def _pets(manager: Manager, seconds: float = PETS_SECONDS) -> int:
    manager.drop()
    return manager.hear(seconds).count("WATCHDOG=1")


def _pets_in_time(manager: Manager, seconds: float = PETS_SECONDS) -> None:
    """It pets; on a busy machine it may be late once."""
    until(lambda: _pets(manager, seconds), "it pets")


def _pets_no_more(manager: Manager) -> None:
    """It may pet a few times more: it is at the next looks that it sees who does not answer."""
    until(lambda: _pets(manager, LATE_SECONDS) == 0, "it pets no more")


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@pytest.mark.parametrize("who", ["worker", "writer", "master"])
def test_the_watchdog_is_not_petted_while_somebody_hangs(bench: Bench, manager: Manager, who: str) -> None:
    bench.start()
    ready = manager.hear(60.0, "READY=1")
    assert any("STATUS=serving" in text for text in ready), ready
    assert {pid for _, pid, _ in manager.said} == {bench.box.master}, "the master alone speaks"
    _pets_in_time(manager)
    pid = {"worker": bench.box.workers()[0], "writer": bench.box.writer(), "master": bench.box.master}[who]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _stopped(pid), "it hangs")
        _pets_no_more(manager)
    finally:
        os.kill(pid, signal.SIGCONT)
    _pets_in_time(manager)


def test_a_reload_is_told_and_ends_with_ready_also_when_it_is_refused(bench: Bench, manager: Manager) -> None:
    box = bench.start()
    manager.hear(60.0, "READY=1")
    os.kill(box.master, signal.SIGHUP)
    assert any(text.startswith("RELOADING=1") for text in manager.hear(60.0, "READY=1")[:-1])
    assert "generation 2" in manager.said[-1][2]
    box.config.write_text(box.config.read_text().replace("[box]", "[box]\nnonsense = 1"))
    os.kill(box.master, signal.SIGHUP)
    manager.hear(60.0, "READY=1")
    assert "generation 2; WG206" in manager.said[-1][2]
    os.kill(box.master, signal.SIGTERM)
    assert manager.hear(60.0, "STOPPING=1")


def test_a_box_that_cannot_start_says_why_and_never_that_it_is_ready(bench: Bench, manager: Manager) -> None:
    from support.gateway import WARDGATE

    config = bench.plan.write()
    config.write_text(config.read_text().replace("[box]", "[box]\nnonsense = 1"))
    program = Program((*WARDGATE, "run", "-c", config), bench.folder / "log", ENV)
    try:
        heard = manager.hear(60.0, "STOPPING=1")
    finally:
        program.stop()
    assert "READY=1" not in "\n".join(heard)
    assert "cannot start: WG103" in heard[-1]


@pytest.fixture
def short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Program, Plan]]:
    """A master over stand-ins that kills what is silent for 6 s."""
    monkeypatch.setenv("FAKE_HUNG_SECONDS", "6")
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "nobody"))
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    key = folder / "custody.pem"
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*kinds))
    key.chmod(0o600)
    plan = Plan(folder, (PeerPlan(transport="plain"),), key, workers=2)
    program = Program((sys.executable, "-m", "support.fake_box", plan.write()), folder / "log", ENV)
    until(lambda: "READY" in program.log or not program.running(), "READY")
    yield program, plan
    below = {pid: started(pid) for pid in children(program.pid)} if program.running() else {}
    program.stop()
    kill_rest(below)


def test_a_worker_and_a_writer_that_hang_are_killed_and_replaced_and_the_other_worker_is_left_alone(short: tuple[Program, Plan]) -> None:
    program, plan = short

    def status() -> dict:
        return ask_master(str(plan.run_dir / "status.sock"))

    def workers() -> list[int]:
        return [worker["pid"] for generation in status()["generations"] for worker in generation["workers"]]

    hung, other = workers()
    writer = status()["writer"]["pid"]
    os.kill(hung, signal.SIGSTOP)
    os.kill(writer, signal.SIGSTOP)
    until(lambda: program.log.count("WG930") >= 1 and hung not in workers() and len(workers()) == 2, "a new worker")
    until(lambda: (status()["writer"] or {"pid": writer})["pid"] != writer, "a new writer")
    assert other in workers()
    assert f"pid={hung}" in program.log and "signal 9" in program.log
    time.sleep(7.0)
    assert other in workers(), "one that answers is never killed"


def test_the_key_service_says_that_it_is_ready_and_pets_while_its_loop_turns(folder: Path, manager: Manager) -> None:
    service = KeyService(folder, {}, state_dir=folder)
    service.add_token("one", "/nowhere/module.so")  # its loop lives, whatever becomes of the token
    service.start()
    try:
        manager.hear(60.0, "READY=1")
        assert "tokens" in manager.said[-1][2]
        _pets_in_time(manager)
        pid = manager.said[-1][1]
        os.kill(pid, signal.SIGSTOP)
        until(lambda: _stopped(pid), "it hangs")
        _pets_no_more(manager)
        os.kill(pid, signal.SIGCONT)
        _pets_in_time(manager)
    finally:
        service.stop()
