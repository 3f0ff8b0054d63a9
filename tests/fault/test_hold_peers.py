"""Destinations that refuse, stumble or come and go; a queue file that was changed; the person at the queue."""

from __future__ import annotations

import pytest

from support import datasets, held, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.ondisk import store_of
from support.processes import until
from wardgate.hold.state import State

pytestmark = pytest.mark.skipif(not peers.have("storescu"), reason="DCMTK is not installed")


@pytest.fixture
def holding(bench: Bench) -> Bench:
    held.plan(bench)
    bench.start()
    return bench


def quarantined(bench: Bench) -> list[str]:
    return [entry.stem for entry in held.files(bench, State.QUARANTINED)]


def test_an_instance_refused_for_good_goes_to_quarantine_and_blocks_nobody(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 5, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    with held.pacs(holding) as pacs:
        pacs.statuses = {series[1].sop_instance: 0xC123, series[3].sop_instance: 0xB007}
        held.wait_empty(holding)
        assert [instance for instance, _ in pacs.taken] == [one.sop_instance for number, one in enumerate(series) if number != 1]
        until(lambda: len(quarantined(holding)) == 1, "one is in quarantine")
        holding.box.wait_code("HOLD_QUARANTINED")
        (stem,) = quarantined(holding)
        shown = holding.box.hold("list").stdout
        assert stem in shown and "C123" in shown and series[1].sop_instance in shown, shown
        assert "quarantined 1" in holding.box.status().stdout
        until(lambda: store_of(holding.plan.log_dir, series[1].sop_instance)["status"] == "C123", "the log has it")
        holding.assert_recorded(series[3], "B007")
        pacs.statuses.clear()
        done = holding.box.hold("retry", stem)
        assert done.returncode == 0, done.stdout
        held.wait_empty(holding)
        until(lambda: pacs.counts[series[1].sop_instance] == 1, "it was delivered after all")
    assert not quarantined(holding)
    assert dict(pacs.taken)[series[1].sop_instance] == series[1].sha256


def test_a_context_that_is_not_accepted_puts_its_instances_aside_with_the_result(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 2, 16)
    assert holding.send(series).returncode == 0, holding.box.log
    with held.pacs(holding) as pacs:
        pacs.refuse_contexts = True
        until(lambda: len(quarantined(holding)) == 2, "both are in quarantine")
    assert "context not accepted" in holding.box.hold("list").stdout
    assert not pacs.asked


def test_out_of_resources_is_tried_again_in_order(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 3, 16)
    assert holding.send(series).returncode == 0, holding.box.log
    with held.pacs(holding) as pacs:
        pacs.statuses = {series[0].sop_instance: 0xA700}
        until(lambda: pacs.asked.count(series[0].sop_instance) >= 2, "it is tried again")
        assert not pacs.taken, "nothing overtakes it"
        pacs.statuses.clear()
        held.wait_empty(holding)
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in series]


def test_an_instance_at_which_the_peer_hangs_up_each_time_is_put_aside_at_last(bench: Bench) -> None:
    held.plan(bench)
    bench.plan.hold = {"attempts": 2, "retry_seconds": 1}
    bench.start()
    series = datasets.generate(bench.folder / "in", 3, 16)
    assert bench.send(series).returncode == 0, bench.box.log
    with held.pacs(bench) as pacs:
        pacs.silent = {series[0].sop_instance}
        held.wait_empty(bench)
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in series[1:]]
    assert len(quarantined(bench)) == 1


def test_a_changed_queue_file_is_put_aside_by_name_and_the_rest_arrives(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 4, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    queue = held.files(holding)
    held.flip(queue[1], -40)  # in the last chunk
    held.flip(queue[2], 20)  # in the head
    with held.pacs(holding) as pacs:
        held.wait_empty(holding)
    assert [instance for instance, _ in pacs.taken] == [series[0].sop_instance, series[3].sop_instance]
    assert sorted(quarantined(holding)) == [queue[1].stem, queue[2].stem]
    log = holding.box.log
    assert queue[1].name in log and queue[2].name in log and "WG877" in log


def test_a_full_quota_is_answered_with_a700_and_room_heals_it(bench: Bench) -> None:
    held.plan(bench)
    bench.plan.hold = {"max_bytes": (16 << 20) + 300_000}  # room is reserved 16 MiB at a time
    bench.start()
    series = datasets.generate(bench.folder / "in", 8, 256)
    with wire.dial(bench.plan.listen) as client:
        client.associate(MODALITY, PACS)
        statuses = []
        for one in series:
            client.send(*wire.store_pdus(one))
            _, body = client.read()
            statuses.append(wire.status_of(body))
        assert statuses[:2] == [0, 0] and statuses[-1] == 0xA700, statuses
        client.echo(99)
        client.release()
    bench.box.wait_code("HOLD_LOW_SPACE")
    assert len(held.files(bench)) == statuses.count(0)
    with held.pacs(bench) as pacs:
        held.wait_empty(bench)
    assert len(pacs.taken) == statuses.count(0)
    again = datasets.generate(bench.folder / "again", 1, 64, study=2)
    assert bench.send(again).returncode == 0, bench.box.log


def test_export_writes_the_same_data_set_and_release_removes_it_only_when_told_twice(holding: Bench) -> None:
    series = datasets.generate(holding.folder / "in", 1, 64)
    assert holding.send(series).returncode == 0, holding.box.log
    with held.pacs(holding) as pacs:
        pacs.statuses = {series[0].sop_instance: 0xA900}
        until(lambda: len(quarantined(holding)) == 1, "it is in quarantine")
    (stem,) = quarantined(holding)
    out = holding.folder / "out"
    assert holding.box.hold("export", str(out), stem).returncode == 1
    assert not out.exists()
    done = holding.box.hold("export", "--yes", str(out), stem)
    assert done.returncode == 0, done.stdout
    assert datasets.sample(out / f"{stem}.dcm").sha256 == series[0].sha256
    assert holding.box.hold("release", stem).returncode == 1
    assert len(quarantined(holding)) == 1
    assert holding.box.hold("release", "--yes", stem).returncode == 0
    assert not quarantined(holding)
    holding.box.wait_code("HOLD_RELEASED")


def test_a_request_that_only_the_pacs_can_answer_is_refused_while_held(holding: Bench) -> None:
    with wire.dial(holding.plan.listen) as client:
        client.associate(MODALITY, PACS)
        find = wire.command((0x0002, b"1.2.840.10008.5.1.4.1.1.2\0"), (0x0100, b"\x20\0"), (0x0110, b"\x07\0"), (0x0800, b"\x01\x01"))
        client.send(wire.pdv(3, 3, find))
        _, body = client.read()
        assert wire.status_of(body) == 0x0211  # PS3.7 C.5.21: unrecognized operation
        client.release()
    holding.box.wait_code("HOLD_SERVICE_REFUSED")
