"""A whole box with an instance whose record the custody log has not: not sent, not committed, not exported, and all of it once it has.

The worker is played by the test: it has an association open in the box's own log, and puts an instance into the box's queue."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from support import datasets, held, netdicom
from support.bench import MODALITY, PACS, Bench
from support.commitpacs import CommitPacs
from support.custody import Study, answers, connect
from support.ondisk import records, stores_of
from support.processes import until
from wardgate.custody.record import Flow, Outcome, Quality
from wardgate.custody.wire import Op, Status
from wardgate.dimse.build import command_set
from wardgate.hold.header import Header
from wardgate.hold.state import State
from wardgate.hold.store import Entry, Store
from wardgate.hold.wrap import FileWrapper


class Played:
    """A worker with one association, open in the box's log, and one instance."""

    def __init__(self, bench: Bench, study: int = 3) -> None:
        self.box = bench.box
        self.peer = bench.peer.name
        self.client = connect(bench.plan.run_dir / "custody.sock", "played")
        self.study = Study(self.client)
        self.study.open()
        assert [status for status, _ in answers(self.client, 1).values()] == [Status.OK]
        self.store = Store(bench.plan.hold_dir, FileWrapper(bench.plan.folder / "hold.key"))
        (self.sample,) = datasets.generate(bench.folder / f"played{study}", 1, 16, study=study)
        self.text = b""

    def hold(self) -> Entry:
        """Take the instance: durable, with its record, and told to nobody."""
        one = self.sample
        data = datasets.data_set(one.path.read_bytes())
        sums = [("sha256", "dataset", hashlib.sha256(data).hexdigest())]
        ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
        scope = self.study.scope
        self.text = scope.store(
            time.time_ns(), Quality.UNKNOWN, 1, one.sop_class, one.sop_instance, one.transfer_syntax, len(data), sums, *ends
        )
        command = command_set({0x0002: one.sop_class, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 0, 0x1000: one.sop_instance}).hex()
        names = ("w", "ct1", self.peer, MODALITY, PACS, one.sop_class, one.transfer_syntax, one.sop_class, one.sop_instance)
        body = self.store.begin(Header(*names, command, scope.association.hex(), time.time_ns(), "", ""))
        body.carry(self.text)
        body.write(memoryview(data), True)
        self.store.finish(body, hashlib.sha256(data).hexdigest())
        return self.store.keep(body)

    def look(self, unlogged: int) -> None:
        """Have the forwarder look until it knows of so many."""

        def known() -> bool:
            self.box.hold("retry")  # the forwarder may still be starting
            return f", unlogged {unlogged}," in self.box.status().stdout

        until(known, f"{unlogged} unlogged\n{self.box.log[-2000:]}")

    def log(self) -> None:
        """The record goes into the log."""
        self.client.add(Op.STORE, self.study.scope.association, 1, self.text)
        assert [status for status, _ in answers(self.client, 1).values()] == [Status.OK]

    def vanish(self) -> None:
        """As killed."""
        self.client.close()
        self.store.put_away()


@pytest.fixture
def box(bench: Bench) -> Bench:
    held.plan(bench)
    bench.start()
    return bench


def test_it_is_neither_sent_nor_exported_before_the_log_has_it(box: Bench, tmp_path: Path) -> None:
    played = Played(box)
    entry = played.hold()
    with held.pacs(box) as pacs:
        played.look(1)
        series = datasets.generate(box.folder / "in", 2, 16)
        assert box.send(series).returncode == 0
        until(lambda: len(held.files(box)) == 3, "others come behind it")
        listed = box.box.hold("list").stdout
        assert f"{entry.stem} not in the log" in listed, listed
        done = box.box.hold("export", "--yes", tmp_path / "out", "--all")
        assert done.returncode == 1 and "WG898" in done.stdout and entry.stem in done.stdout, done
        assert box.box.hold("export", "--yes", "--unlogged", tmp_path / "out", entry.stem).returncode == 0
        assert not pacs.taken
        played.log()
        held.wait_empty(box)
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in (played.sample, *series)], "in order"
    assert dict(pacs.taken)[played.sample.sop_instance] == played.sample.sha256
    played.look(0)


def test_what_a_worker_left_when_it_was_killed_is_logged_once_and_then_sent(box: Bench) -> None:
    played = Played(box)
    played.hold()
    played.look(1)
    played.vanish()
    with held.pacs(box) as pacs:
        held.wait_empty(box)
    assert dict(pacs.taken) == {played.sample.sop_instance: played.sample.sha256}
    until(lambda: len(stores_of(box.plan.log_dir, played.sample.sop_instance)) == 2, "the record of what left follows")
    taken, sent = stores_of(box.plan.log_dir, played.sample.sop_instance)
    assert taken["association"] == played.study.id and sent["acceptor"]["address"] == "hold"
    box.assert_log_verifies()


def test_one_whose_association_was_closed_without_it_is_set_aside_and_sent_when_a_person_says_so(box: Bench) -> None:
    played = Played(box)
    played.client.close()  # the writer gives its association up
    until(
        lambda: any(one["type"] == "close" and one["association"] == played.study.id for one in records(box.plan.log_dir)), "it is closed"
    )
    entry = played.hold()
    played.store.put_away()
    with held.pacs(box) as pacs:
        until(lambda: box.box.hold("retry").returncode == 0 and held.files(box, State.QUARANTINED), "it is set aside")
        assert "WG897" in box.box.log and not pacs.taken
        assert box.box.hold("retry", entry.stem).returncode == 0
        held.wait_empty(box)
    assert dict(pacs.taken) == {played.sample.sop_instance: played.sample.sha256}


def test_a_queue_that_came_with_a_reload_is_looked_into_by_the_writer_that_is_there_and_by_the_next(bench: Bench) -> None:
    held.plan(bench, "relay")
    bench.start()
    writer = bench.box.writer()
    bench.plan.delivery = "hold"
    bench.plan.write()
    os.kill(bench.box.master, signal.SIGHUP)
    bench.box.wait_code("HOLD_STARTED")
    for study in (3, 4):
        played = Played(bench, study)
        played.hold()
        played.vanish()
        until(lambda played=played: stores_of(bench.plan.log_dir, played.sample.sop_instance), f"it is logged\n{bench.box.log[-2000:]}")
        assert (bench.box.writer() == writer) is (study == 3)
        if study == 3:
            os.kill(writer, signal.SIGKILL)
            until(
                lambda: "WG208" in bench.box.log and bench.box.status().stdout.count("custody: the writer does not answer") == 0, "another"
            )


def test_a_modality_that_asks_for_its_commitment_meanwhile_is_told_when_the_log_has_it_and_the_pacs_too(bench: Bench) -> None:
    held.plan(bench)
    bench.peer.commitment = "destination"
    with CommitPacs(bench.peer.port, bench.peer.calls) as pacs, netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        bench.start()
        assert bench.send(datasets.generate(bench.folder / "first", 1, 16, study=2), "-R").returncode == 0
        until(lambda: pacs.requests, "the PACS was asked")
        held.wait_empty(bench)
        played = Played(bench)
        played.hold()
        played.look(1)
        assert netdicom.request_commitment(bench.plan.listen, [played.sample], MODALITY, PACS).status == 0
        time.sleep(3)
        assert len(pacs.requests) == 1 and not modality.told, "nobody is asked, and nothing is said"
        played.log()
        report = modality.wait("report")
        assert list(report.instances) == [played.sample.sop_instance]
        assert report.event_type == 1
        assert pacs.stored[-1] == played.sample.sop_instance
        held.wait_empty(bench)
    bench.assert_log_verifies()
