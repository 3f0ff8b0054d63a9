"""The master with stand-in workers: it starts again what died, reloads, drains, and never serves a bad configuration."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.config import PeerPlan, Plan
from support.processes import LOOPBACK, Program, alive, children, free_port, kill_rest, listens, started, until
from wardgate.master.children import memory_bytes
from wardgate.master.show import ask_master, lines
from wardtools.pki import Pki

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "tests"))}
LEAN_BYTES = 16 << 20  # 12.5 MiB with compiled modules; compiling them in the process costs more


class Box:
    """A running master over stand-ins."""

    def __init__(self, folder: Path) -> None:
        key = folder / "custody.pem"
        kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*kinds))
        key.chmod(0o600)
        self.plan = Plan(folder, (PeerPlan(transport="plain"),), key, workers=2, limits={"drain_seconds": 1})
        self.config = self.plan.write()
        self.program = Program((sys.executable, "-m", "support.fake_box", self.config), folder / "log", ENV)

    def wait_ready(self) -> Box:
        until(lambda: "READY" in self.program.log or not self.program.running(), "READY")
        assert "READY" in self.program.log, self.program.log
        return self

    def status(self) -> dict:
        """What it says, once every worker has answered in time."""
        found: list[dict] = []

        def whole() -> bool:
            with contextlib.suppress(OSError):
                found.append(ask_master(str(self.plan.run_dir / "status.sock")))
                return all(worker["answers"] for generation in found[-1]["generations"] for worker in generation["workers"])
            return False

        until(whole, "the status of all")
        return found[-1]

    def workers(self) -> list[int]:
        return [worker["pid"] for generation in self.status()["generations"] for worker in generation["workers"]]

    def has(self, code: str) -> bool:
        return code in self.program.log

    def start_messages(self, role: str) -> list[dict]:
        return [json.loads(path.read_text()) for path in self.plan.run_dir.glob(f"{role}-*.start")]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    below = {pid: started(pid) for pid in children(made.program.pid)} if made.program.running() else {}
    made.program.stop()
    kill_rest(below)


def test_workers_get_the_listeners_by_inheritance_and_know_whose_they_are(box: Box) -> None:
    box.wait_ready()
    assert listens(box.plan.listen) and listens(box.plan.peers[0].calls)
    starts = box.start_messages("worker")
    assert sorted(start["worker"] for start in starts) == [0, 1]
    named = {text: parties for _fd, text, parties in starts[0]["listeners"]}
    assert named == {
        f"{LOOPBACK}:{box.plan.listen}": [["ct1", "modality"]],
        f"{LOOPBACK}:{box.plan.peers[0].calls}": [["ct1", "pacs"]],
    }


def test_a_killed_worker_is_replaced_and_the_other_is_left_alone(box: Box) -> None:
    box.wait_ready()
    killed, other = box.workers()
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(box.workers()) == 2 and killed not in box.workers(), "a new worker")
    assert other in box.workers()
    assert box.has("WG207") and listens(box.plan.listen)


def test_a_worker_that_has_grown_too_far_is_replaced_by_a_new_generation_once(box: Box) -> None:
    box.plan.limits["worker_mebibytes"] = 48
    box.plan.write()
    box.wait_ready()
    os.kill(box.program.pid, signal.SIGHUP)
    until(lambda: box.has("WG204"), "the bound is known")
    before = box.workers()
    (box.plan.run_dir / "grow").touch()
    until(lambda: len(box.workers()) == 2 and not set(before) & set(box.workers()), "a new generation")
    assert box.program.log.count("WG217") == 1
    (box.plan.run_dir / "grow").touch()
    until(lambda: max(memory_bytes(pid) for pid in box.workers()) > 64 << 20, "another one grows")
    time.sleep(1.0)  # five looks
    assert box.program.log.count("WG217") == 1, "a worker that needs so much for its work is not replaced all day"


def test_a_killed_writer_is_replaced_without_touching_workers(box: Box) -> None:
    box.wait_ready()
    before, workers = box.status()["writer"]["pid"], box.workers()
    os.kill(before, signal.SIGKILL)
    until(lambda: (box.status()["writer"] or {}).get("pid", before) != before, "a new writer")
    assert box.workers() == workers and box.has("WG208")


def test_reload_starts_a_new_generation_and_the_old_one_leaves(box: Box) -> None:
    box.wait_ready()
    old = box.workers()
    box.plan.listen = free_port()
    box.plan.write()
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG204") and len(box.workers()) == 2, "the new generation alone")
    assert not set(old) & set(box.workers())
    assert [g["generation"] for g in box.status()["generations"]] == [2]
    assert listens(box.plan.listen)


def test_reload_keeps_the_socket_of_an_unchanged_endpoint(box: Box) -> None:
    box.wait_ready()
    early = socket.create_connection((LOOPBACK, box.plan.listen))  # waits in the queue: the stand-ins accept nothing
    gone = box.plan.peers[0].calls
    box.plan.peers[0].calls = free_port()
    box.plan.write()
    box.program.signal(signal.SIGHUP)
    until(lambda: not listens(gone), "the endpoint that was taken out is closed")
    early.setblocking(False)
    with pytest.raises(BlockingIOError):  # neither closed nor reset
        early.recv(1)
    early.close()


def test_a_reload_fetches_the_lists_that_it_needs_at_once_also_while_others_are_fetched(box: Box, pki: Pki) -> None:
    fetched = box.config.parent / "fetched"
    box.wait_ready()
    assert not fetched.exists(), "no party wants one"
    leaf, plain = pki.leaf("box-ecdsa"), box.plan.peers[0]
    box.plan.peers = (replace(plain, transport="tls", certificates=((leaf.chain, leaf.key),), anchors=pki.root, crl_policy="if-present"),)
    box.plan.write()
    for number in range(1, 3):  # the second while the first runs
        box.program.signal(signal.SIGHUP)
        until(lambda number=number: box.program.log.count("WG204") == number, "reloaded")  # type: ignore[misc]
    until(lambda: fetched.exists() and len(fetched.read_text().split()) == 2, "fetched for each")


def test_reload_with_a_mistake_keeps_the_old_generation(box: Box) -> None:
    box.wait_ready()
    before = box.workers()
    box.config.write_text(box.config.read_text().replace("enforce", "enforc"))
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG206"), "the refusal")
    assert "link[0].enforc" in box.program.log and box.workers() == before


def test_reload_whose_worker_cannot_start_keeps_the_old_generation(box: Box) -> None:
    box.wait_ready()
    before = box.workers()
    (box.plan.run_dir / "fail-2").touch()
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG206") and box.workers() == before, "only the old generation")
    (box.plan.run_dir / "fail-2").unlink()
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG204"), "the next reload works")


def test_change_of_the_custody_log_needs_a_restart(box: Box) -> None:
    box.wait_ready()
    before = box.workers()
    box.plan.durable = "none"
    box.plan.write()
    box.program.signal(signal.SIGHUP)
    until(lambda: box.has("WG212"), "the refusal")
    assert box.workers() == before


def test_sigterm_drains_and_ends_with_success(box: Box) -> None:
    box.wait_ready()
    below = children(box.program.pid)
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert box.has("WG203") and not any(alive(pid) for pid in below)
    assert not (box.plan.run_dir / "status.sock").exists()


def test_drain_is_bounded(box: Box) -> None:
    box.wait_ready()
    (box.plan.run_dir / "slow-drain").touch()
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert box.has("WG211")


def test_second_sigterm_ends_at_once(box: Box) -> None:
    box.plan.limits["drain_seconds"] = 300
    box.wait_ready()
    (box.plan.run_dir / "slow-drain").touch()
    box.program.signal(signal.SIGTERM)
    until(lambda: box.has("WG202"), "draining")
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    assert not box.has("WG211")


def test_second_master_of_a_run_directory_is_refused(box: Box, tmp_path: Path) -> None:
    box.wait_ready()
    second = Program((sys.executable, "-m", "support.fake_box", box.config), tmp_path / "second", ENV)
    assert second.wait() == 1
    assert "WG215" in second.log and box.status()["stage"] == "serving"


def test_new_master_takes_over_after_the_old_one_was_killed(box: Box, tmp_path: Path) -> None:
    box.wait_ready()
    box.program.signal(signal.SIGKILL)
    box.program.wait()
    box.program = Program((sys.executable, "-m", "support.fake_box", box.config), tmp_path / "second", ENV)
    box.wait_ready()


def test_port_in_use_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        box = Box(tmp_path)
        box.program.stop()
        box.plan.listen = taken.getsockname()[1]
        box.plan.write()
        program = Program((sys.executable, "-m", "support.fake_box", box.config), tmp_path / "again", ENV)
        assert program.wait() == 1
    assert "WG210" in program.log and str(box.plan.listen) in program.log


def test_bad_configuration_at_start_is_named_and_ends_with_failure(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.program.stop()
    box.config.write_text("[box]\n")
    program = Program((sys.executable, "-m", "support.fake_box", box.config), tmp_path / "again", ENV)
    assert program.wait() == 1
    assert "WG104" in program.log and "box.name" in program.log


def test_status_adds_the_workers_up_and_names_unsafe_switches(box: Box) -> None:
    status = box.wait_ready().status()
    assert status["totals"]["links"]["ct1"] == {"now": 2, "associations": 14}
    assert any("unsafe_allow_clear_hospital" in text for text in status["unsafe"])
    assert [code for _, code, _ in status["errors"]].count("WG501") == 2
    assert (box.plan.run_dir / "status.sock").stat().st_mode & 0o777 == 0o600
    assert box.plan.run_dir.stat().st_mode & 0o777 == 0o700
    text = "\n".join(lines({**status, "custody": {"durable": 7, "signed": 5, "checkpoint_time": 0}}, 0.0))
    assert "7 records durable, 5 signed, 2 not signed yet" in text
    assert "link ct1: now 2, associations 14" in text and "UNSAFE" in text


def test_counters_of_a_worker_that_is_gone_are_kept(box: Box) -> None:
    box.wait_ready().status()
    os.kill(box.workers()[0], signal.SIGKILL)
    until(lambda: box.status()["totals"]["links"]["ct1"] == {"now": 2, "associations": 21}, "7 from the dead, 14 from the living")


def test_silent_status_clients_do_not_block_the_master(box: Box) -> None:
    box.wait_ready()
    silent = []
    for _ in range(20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(box.plan.run_dir / "status.sock"))
        silent.append(sock)
    box.program.signal(signal.SIGTERM)
    assert box.program.wait() == 0
    for sock in silent:
        sock.close()


def test_master_stays_small(box: Box) -> None:
    box.wait_ready().status()
    assert memory_bytes(box.program.pid) < LEAN_BYTES
