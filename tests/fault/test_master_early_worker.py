"""A worker begins while the configuration is read, with stand-ins for worker and writer: nothing is served before, and no end is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fault.test_master_supervision import ENV, Box
from support.processes import Program, alive, children, kill_rest, listens, started, until
from wardgate.transport import compat
from wardtools.pki import Pki


class HeldBox(Box):
    """The configuration is read when `go` is called."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program.stop()
        self.again()

    def again(self) -> None:
        environment = {**ENV, "FAKE_HELD_RESOLVER": "1"}
        self.program = Program((sys.executable, "-m", "support.fake_box", self.config), self.plan.folder / "held", environment)

    def early(self) -> int:
        """The process id of the worker that is there before the configuration."""
        until(self._early, "a worker")
        (found,) = self._early()
        return found

    def _early(self) -> list[int]:
        return [pid for pid in children(self.program.pid) if b"fake_child.py\0worker" in _command(pid)]

    def reader(self) -> int:
        """The process id of the child that reads the configuration."""
        until(self._reader, "a reader")
        (found,) = self._reader()
        return found

    def _reader(self) -> list[int]:
        return [pid for pid in children(self.program.pid) if b"/go" in _command(pid)]

    def go(self) -> None:
        (self.plan.folder / "go").touch()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[HeldBox]:
    made = HeldBox(tmp_path)
    yield made
    below = {pid: started(pid) for pid in children(made.program.pid)} if made.program.running() else {}
    made.go()  # a reader that nobody waits for any more ends too
    made.program.stop()
    kill_rest(below)


def test_one_worker_begins_while_the_configuration_is_read_and_has_nothing_before(box: HeldBox) -> None:
    early = box.early()
    assert not box.start_messages("worker") and not listens(box.plan.listen) and not listens(box.plan.peers[0].calls)
    sockets = [link for link in _links(early) if link.startswith("socket:")]
    assert len(sockets) == 1, "its control socket alone"
    box.go()
    box.wait_ready()
    assert early in box.workers() and len(box.workers()) == 2
    first, second = sorted(box.start_messages("worker"), key=lambda start: int(start["worker"]))
    assert len(first["received"]) == len(first["fds"]) == 3 and not second["received"], "the table of counts and two that listen"
    assert (box.plan.run_dir / f"worker-{early}.start").exists() and not box.has("WG207")


def _links(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2]


def test_a_worker_that_began_early_is_replaced_and_reloaded_as_any_other(box: HeldBox) -> None:
    early = box.early()
    box.go()
    box.wait_ready()
    os.kill(early, signal.SIGKILL)
    until(lambda: len(box.workers()) == 2 and early not in box.workers(), "a new worker")
    assert box.program.log.count("WG207") == 1
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG204") and len(box.workers()) == 2, "the new generation alone")
    assert all(not start["received"] for start in box.start_messages("worker") if start["generation"] == 2)


def test_with_a_refused_configuration_the_early_worker_ends_and_the_mistakes_are_named(box: HeldBox) -> None:
    early = box.early()
    box.config.write_text("[box]\n")
    box.go()
    assert box.program.wait() == 1
    assert "WG104" in box.program.log and "box.name" in box.program.log and box.has("WG203")
    assert not alive(early) and not box.has("WG207"), "it was ended, and did not die"


def test_an_early_worker_that_dies_is_told_and_another_takes_its_place(box: HeldBox) -> None:
    early = box.early()
    os.kill(early, signal.SIGKILL)
    until(lambda: box.has("WG207"), "its death is told")
    assert f"pid={early}" in box.program.log
    box.go()
    box.wait_ready()
    assert len(box.workers()) == 2 and box.program.log.count("WG207") == 1
    assert not any(start["received"] for start in box.start_messages("worker"))


def test_a_stop_while_the_configuration_is_read_ends_the_early_worker(box: HeldBox) -> None:
    early = box.early()
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert not alive(early) and not box.has("WG207")


def test_a_stop_while_the_configuration_is_read_ends_the_reader_without_a_word_about_it(box: HeldBox) -> None:
    reader = box.reader()
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert not alive(reader) and not box.has("WG216")


def test_a_stop_while_the_configuration_is_read_again_ends_the_reader(box: HeldBox) -> None:
    box.go()
    box.wait_ready()
    (box.plan.folder / "go").unlink()
    box.program.signal(signal.SIGHUP)
    reader = box.reader()
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert not alive(reader) and not box.has("WG206")


def test_an_early_worker_ends_when_the_master_is_killed(box: HeldBox) -> None:
    early = box.early()
    box.program.signal(signal.SIGKILL)
    box.program.wait()
    until(lambda: not alive(early), "it has read the end of its control socket")


@pytest.mark.skipif(compat.can_set_tls13_suites(), reason="this Python needs no OPENSSL_CONF")
def test_a_profile_that_wants_an_openssl_configuration_does_not_take_the_early_worker(box: HeldBox, pki: Pki) -> None:
    early = box.early()
    pairs = tuple((pki.leaf(name).chain, pki.leaf(name).key) for name in ("box-ecdsa", "box-rsa"))
    box.plan.peers = (replace(box.plan.peers[0], transport="tls", profile="B.13", certificates=pairs, anchors=pki.root),)
    box.plan.write()
    box.go()
    box.wait_ready()
    assert len(box.workers()) == 2 and early not in box.workers() and not alive(early) and not box.has("WG207")
    for pid in box.workers():
        assert b"OPENSSL_CONF=" in Path(f"/proc/{pid}/environ").read_bytes()
