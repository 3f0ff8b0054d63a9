"""SIGTERM and kill -9 of master, worker and custody writer in mid-study: nothing acknowledged is lost, and the box goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from support import certs, datasets, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.datasets import Sample
from support.gateway import tool
from support.ondisk import records
from support.processes import LOOPBACK, Program, alive, kill, until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")

IMAGES = 60
BEFORE = 5  # images that the PACS takes before it waits for the test


def _gate(bench: Bench) -> Path:
    """While this file is there, the PACS takes no more than `BEFORE` images."""
    return bench.folder / "gate"


class Study:
    """A study under way: storescu sends it, and the PACS keeps it waiting in the middle until `go_on`, however long a test takes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.series = datasets.generate(bench.folder / "in", IMAGES, 256)
        words = ["storescu", "-v", "-R", "-aet", MODALITY, "-aec", PACS, LOOPBACK, str(bench.plan.listen)]
        self.sender: Program = bench.add(Program([*words, *(one.path for one in self.series)], bench.folder / "storescu.log"))
        until(lambda: len(self.acknowledged()) >= BEFORE, "the study is under way")

    def go_on(self) -> None:
        """The PACS takes the rest."""
        _gate(self.bench).unlink()

    def acknowledged(self) -> list[Sample]:
        """The instances for which the modality holds a success."""
        count = len(re.findall(r"Received Store Response \(Success\)", self.sender.log))
        return self.series[:count]

    def assert_nothing_acknowledged_is_lost(self) -> None:
        """Each acknowledged instance is at the PACS and has its record."""
        self.bench.assert_delivered(self.acknowledged())


@pytest.fixture
def running(bench: Bench) -> Bench:
    _gate(bench).touch()
    waits = f"[ $(ls '{bench.folder}/pacs' | wc -l) -lt {BEFORE} ] || while [ -e '{_gate(bench)}' ]; do sleep 0.05; done"
    bench.pacs("--fork", "-xcr", waits, "-xs")
    bench.start()
    return bench


def test_sigterm_drains_the_study_under_way_and_then_the_box_ends(running: Bench) -> None:
    study = Study(running)
    assert running.box.program is not None
    running.box.program.signal(signal.SIGTERM)
    until(lambda: not running.box.listens(), "the box takes no new association")
    assert study.sender.running(), "the study was over before the signal: nothing was shown"
    study.go_on()
    assert study.sender.wait() == 0, study.sender.log[-500:]
    assert len(study.acknowledged()) == IMAGES
    assert running.box.program.wait() == 0, running.box.log[-2000:]
    study.assert_nothing_acknowledged_is_lost()
    running.assert_log_verifies()


def test_a_killed_worker_is_replaced_and_loses_nothing_acknowledged(running: Bench) -> None:
    study = Study(running)
    (worker,) = running.box.workers()
    os.kill(worker, signal.SIGKILL)
    assert study.sender.wait() != 0
    study.go_on()
    assert 0 < len(study.acknowledged()) < IMAGES
    running.box.wait_code("WORKER_DIED")
    until(lambda: running.box.workers() not in ([], [worker]), "another worker takes its place")
    running.assert_works()
    study.assert_nothing_acknowledged_is_lost()
    until(lambda: not _open(running), "the dead worker's association is closed in the log")
    assert any(record["type"] == "close" and record["outcome"] == "unknown" for record in records(running.plan.log_dir))
    running.assert_log_verifies()


def test_a_killed_worker_takes_only_its_own_associations_with_it(bench: Bench) -> None:
    bench.plan.workers = 2
    bench.pacs("--fork")
    bench.start()
    clients: list[wire.Wire] = []
    owners: list[int] = []

    def both_have_some() -> bool:  # each goes to the worker that has fewest, but to the other while that one is out of breath
        for _ in range(4):
            clients.append(wire.dial(bench.plan.listen))
            clients[-1].associate()
            owners.append(_owner(bench, clients[-1]))
        return len(set(owners)) == 2

    until(both_have_some, "each worker has some")
    victim = owners[0]
    os.kill(victim, signal.SIGKILL)
    bench.box.wait_code("WORKER_DIED")
    for client, owner in zip(clients, owners, strict=True):
        if owner == victim:
            assert client.ended()
        else:
            client.echo()
            client.release()
    bench.assert_works()


def test_a_killed_custody_writer_is_replaced_and_the_study_goes_on(running: Bench) -> None:
    study = Study(running)
    writer = running.box.writer()
    _stop_with_a_record_waiting(writer, study)
    os.kill(writer, signal.SIGKILL)
    assert study.sender.wait() == 0, study.sender.log[-500:] + running.box.log[-3000:]
    assert len(study.acknowledged()) == IMAGES, study.sender.log[-500:]
    running.box.wait_code("WRITER_DIED")
    assert running.box.writer() != writer
    study.assert_nothing_acknowledged_is_lost()
    running.assert_log_verifies()
    found = [record["sop_instance"] for record in records(running.plan.log_dir) if record["type"] == "store"]
    assert len(found) == len(set(found)) == IMAGES, "a record that was sent again is not written twice"


def test_a_killed_master_leaves_the_study_running_and_a_new_one_can_start_at_once(running: Bench) -> None:
    study = Study(running)
    assert running.box.program is not None
    old = running.box.family()
    os.kill(running.box.master, signal.SIGKILL)
    running.box.program.wait()
    running.box.start()  # listens on the same ports and opens the same log
    running.assert_works()
    study.go_on()
    assert study.sender.wait() == 0, study.sender.log[-500:] + running.box.log[-3000:]
    assert len(study.acknowledged()) == IMAGES
    study.assert_nothing_acknowledged_is_lost()
    running.assert_log_verifies()
    until(lambda: not any(alive(pid) for pid in old), "the old processes have gone")


def test_everything_killed_at_once_leaves_a_log_that_opens_again(running: Bench) -> None:
    study = Study(running)
    _stop_with_a_record_waiting(running.box.writer(), study)
    for pid in running.box.family():
        kill(pid)
    assert study.sender.wait() != 0
    running.box.start()
    running.assert_works()
    study.assert_nothing_acknowledged_is_lost()
    until(lambda: not _open(running), "the association of before is closed in the log")
    closes = [record for record in records(running.plan.log_dir) if record["type"] == "close"]
    assert any(record["outcome"] == "unknown" and record["after"] is not None for record in closes)
    running.assert_log_verifies()


def test_an_instance_whose_record_cannot_be_made_durable_is_answered_a700(bench: Bench) -> None:
    bench.plan.limits = {"record_seconds": 6}  # on a busy machine that of the open entry takes seconds
    bench.pacs()
    bench.start()
    one = datasets.generate(bench.folder / "in", 1, 64)[0]
    with wire.dial(bench.plan.listen) as client:
        client.associate()
        writer = bench.box.writer()
        os.kill(writer, signal.SIGSTOP)
        try:
            client.send(*wire.store_pdus(one))
            kind, body = client.read()
            assert (kind, wire.status_of(body)) == (wire.P_DATA, 0xA700)
        finally:
            os.kill(writer, signal.SIGCONT)
    bench.box.wait_code("RECORD_FAILED")
    assert one.sop_instance in datasets.samples(bench.folder / "pacs")  # the PACS may hold it: the log line says so
    until(lambda: bench.echo().returncode == 0, "the box works again")
    until(lambda: any(record["type"] == "answer" for record in records(bench.plan.log_dir)), "the log says what the modality was told")
    bench.assert_recorded(one)  # late, and what the PACS said
    told = [record for record in records(bench.plan.log_dir) if record["type"] == "answer"]
    assert [(one["seq"], one["told"], one["code"]) for one in told] == [(1, "A700", "WG428")]
    bench.assert_log_verifies()
    shown = tool("custody", "show", bench.plan.log_dir, one.sop_instance).stdout
    assert "The receiver answered 0000: success." in shown
    assert "CT1 was told A700 for it" in shown


def test_a_new_configuration_drains_the_old_generation(running: Bench) -> None:
    study = Study(running)
    before = running.box.workers()
    os.kill(running.box.master, signal.SIGHUP)
    running.box.wait_code("RELOADED")
    running.assert_works()
    assert study.sender.running(), "the study was over before the signal: nothing was shown"
    study.go_on()
    assert study.sender.wait() == 0, study.sender.log[-500:]
    assert len(study.acknowledged()) == IMAGES
    until(lambda: not set(before) & set(running.box.workers()), "the old worker leaves after its last association")
    study.assert_nothing_acknowledged_is_lost()


def test_a_reload_takes_new_certificates_and_anchors(bench: Bench) -> None:
    with wire.FakePeer(bench.plan.modality_port, _answer_echo):
        bench.start()
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        context = netdicom.client_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))
        anchors = bench.folder / "anchors.pem"
        anchors.write_bytes(bench.pki.root.read_bytes() + bench.pki.other_root.read_bytes())
        bench.plan.peers[0].anchors, bench.plan.peers[0].crl_policy = anchors, "if-present"
        bench.plan.write()
        os.kill(bench.box.master, signal.SIGHUP)
        bench.box.wait_code("RELOADED")
        until(lambda: bench.echo_back(certificate="pacs-other-ca").returncode == 0, "the new anchor is trusted")
        with wire.dial(bench.peer.calls, context) as client:
            client.associate(PACS, MODALITY)


def test_a_configuration_with_a_mistake_changes_nothing(bench: Bench) -> None:
    bench.pacs()
    box = bench.start()
    before = box.workers()
    box.config.write_text(box.config.read_text().replace("[box]", "[box]\nnonsense = 1"))
    os.kill(box.master, signal.SIGHUP)
    box.wait_code("RELOAD_REFUSED")
    assert box.workers() == before
    bench.assert_works()


def _stop_with_a_record_waiting(writer: int, study: Study) -> None:
    """Stop the writer and let the study get to a record that it has not taken: the worst moment to be killed."""
    os.kill(writer, signal.SIGSTOP)
    study.go_on()
    until(lambda: len(list((study.bench.folder / "pacs").iterdir())) > len(study.acknowledged()), "the PACS has one more")
    time.sleep(0.5)  # its answer is with the worker by then, as a rule


def _answer_echo(peer: wire.Wire) -> None:
    peer.send(wire.associate_ac(peer.whole()))
    while (kind := peer.read()[0]) in (wire.P_DATA, wire.RELEASE_RQ):
        peer.send(wire.pdv(1, 3, wire.echo_rsp()) if kind == wire.P_DATA else wire.pdu(wire.RELEASE_RP, bytes(4)))


def _open(bench: Bench) -> set[str]:
    """The associations that the log opened and did not close."""
    found = records(bench.plan.log_dir)
    ids = {kind: {record["association"] for record in found if record["type"] == kind} for kind in ("open", "close")}
    return ids["open"] - ids["close"]


def _owner(bench: Bench, client: wire.Wire) -> int:
    """The worker that holds the box's end of this connection."""
    ours = f":{client.sock.getsockname()[1]:04X}"
    listening = f":{bench.plan.listen:04X}"
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[1].endswith(listening) and words[2].endswith(ours):
            for pid in bench.box.workers():
                for entry in os.scandir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                        if os.readlink(entry.path) == f"socket:[{words[9]}]":
                            return pid
    raise AssertionError("no worker holds this connection")
