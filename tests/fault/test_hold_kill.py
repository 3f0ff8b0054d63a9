"""kill -9 of forwarder, worker and master while instances are held: nothing acknowledged is lost, nothing delivered is sent again."""

from __future__ import annotations

import os
import re
import signal

import pytest

from support import datasets, held, peers
from support.bench import MODALITY, PACS, Bench
from support.processes import LOOPBACK, Program, alive, kill, until

pytestmark = pytest.mark.skipif(not peers.have("storescu"), reason="DCMTK is not installed")

IMAGES = 60


@pytest.fixture
def holding(bench: Bench) -> Bench:
    held.plan(bench)
    bench.start()
    return bench


def test_a_forwarder_killed_at_many_instants_sends_nothing_twice_that_it_had_acknowledged(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", IMAGES, 64)
    done = holding.send(series)
    assert done.returncode == 0, done.stdout + holding.box.log
    assert len(held.files(holding)) == IMAGES
    settled: set[str] = set()
    with held.pacs(holding, 0.005) as pacs:
        for rest in range(IMAGES - 4, 0, -7):
            until(lambda rest=rest: len(held.files(holding)) <= rest, f"at most {rest} wait\n{holding.box.log[-2000:]}")
            forwarder = holding.box.forwarder()
            os.kill(forwarder, signal.SIGKILL)
            until(lambda forwarder=forwarder: not alive(forwarder), "it is dead")
            settled |= {one.sop_instance for one in series} - held.waiting(holding)
            until(lambda: any(True for _ in _forwarders(holding)), "another takes its place")
        held.wait_empty(holding)
    counts = pacs.counts
    assert {instance for instance, _ in pacs.taken} == {one.sop_instance for one in series}
    assert dict(pacs.taken) == {one.sop_instance: one.sha256 for one in series}
    assert sum(counts.values()) - IMAGES <= IMAGES // 7 + 1, "at most the one whose answer was under way at each kill"
    first = {instance: pacs.asked.index(instance) for instance in counts}
    assert sorted(first, key=lambda instance: first[instance]) == [one.sop_instance for one in series], "in order"
    for one in series:
        holding.assert_recorded(one)
    holding.assert_log_verifies()


def _forwarders(bench: Bench) -> list[int]:
    try:
        return [bench.box.forwarder()]
    except StopIteration:
        return []


def test_what_was_delivered_before_a_kill_is_not_asked_again(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 20, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    with held.pacs(holding, 0.02) as pacs:
        until(lambda: len(held.files(holding)) <= 12, "some were delivered")
        os.kill(holding.box.forwarder(), signal.SIGKILL)
        settled = {one.sop_instance for one in series} - held.waiting(holding)
        asked = len(pacs.asked)
        held.wait_empty(holding)
    assert settled
    assert not settled & set(pacs.asked[asked:])


def test_a_worker_killed_while_it_takes_a_study_loses_nothing_acknowledged(holding: Bench) -> None:
    acknowledged: list[datasets.Sample] = []
    for study in range(1, 6):  # on a busy machine one may be over before it is hit
        series = datasets.generate(holding.folder / f"in{study}", 600, 128, study)
        (worker,) = holding.box.workers()
        words = ["storescu", "-v", "-R", "-aet", MODALITY, "-aec", PACS, LOOPBACK, str(holding.plan.listen)]
        sender = holding.add(Program([*words, *(one.path for one in series)], holding.folder / f"storescu{study}.log"))
        until(lambda: len(held.files(holding)) > len(acknowledged) + 20, f"the study is under way\n{holding.box.log[-1000:]}")  # noqa: B023
        os.kill(worker, signal.SIGKILL)
        sender.wait()
        count = len(re.findall(r"Received Store Response \(Success\)", sender.log))
        acknowledged += series[:count]
        until(lambda: holding.box.workers() not in ([], [worker]), "another worker takes its place")  # noqa: B023
        if count < len(series):
            break
    assert 0 < count < len(series)
    with held.pacs(holding) as pacs:
        held.wait_empty(holding)
    arrived = dict(pacs.taken)
    for one in acknowledged:
        assert arrived[one.sop_instance] == one.sha256
        holding.assert_recorded(one)
    until(lambda: not held.unfinished(holding.plan.hold_dir), "what was cut is removed")
    holding.assert_log_verifies()


def test_a_killed_master_and_all_that_was_its_lose_nothing_held(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 20, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    family = holding.box.family()
    for pid in family:
        kill(pid)
    until(lambda: not any(alive(pid) for pid in family), "all are dead")
    holding.box.start()
    assert len(held.files(holding)) == 20
    with held.pacs(holding) as pacs:
        held.wait_empty(holding)
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in series]
    holding.assert_log_verifies()


def test_a_killed_master_lets_the_forwarder_go_and_a_new_one_takes_over(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 10, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    forwarder = holding.box.forwarder()
    os.kill(holding.box.master, signal.SIGKILL)
    until(lambda: not alive(forwarder), "the forwarder leaves when its master is gone")
    until(lambda: not holding.box.listens(), "its ports are free")
    holding.box.start()
    with held.pacs(holding) as pacs:
        held.wait_empty(holding)
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in series]
