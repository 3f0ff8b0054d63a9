"""Storage commitment by the box itself, on a link that holds: a pynetdicom modality, a pynetdicom or Orthanc PACS."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from support import certs, datasets, held, netdicom, peers
from support.bench import MODALITY, PACS, Bench
from support.commitpacs import CommitPacs
from support.datasets import Sample
from support.gateway import tool
from support.ondisk import records, stores_of, wait_records
from support.orthanc import Orthanc
from support.processes import until
from wardgate.hold.state import State


@pytest.fixture
def made(bench: Bench) -> Bench:
    held.plan(bench)
    bench.peer.commitment = "destination"
    return bench


def series(bench: Bench, count: int = 3, name: str = "in") -> list[Sample]:
    return datasets.generate(bench.folder / name, count, 16, study=2 if name == "first" else 1)


def send(bench: Bench, samples: list[Sample]) -> None:
    done = bench.send(samples, "-R")
    assert done.returncode == 0, done.stdout + bench.box.log


def seen_once(bench: Bench, pacs: CommitPacs) -> None:
    """The PACS is known to do storage commitment: it took something before."""
    first = series(bench, 1, "first")
    send(bench, first)
    until(lambda: pacs.requests, f"the PACS was asked\n{bench.box.log[-2000:]}")
    held.wait_empty(bench)


def committed(bench: Bench, sample: Sample) -> list[tuple[str, str | None]]:
    return [(one["outcome"], one["reason"]) for one in commitments(bench, sample.sop_instance)]


def outcomes(bench: Bench, uid: str) -> list[str]:
    return [one["outcome"] for one in commitments(bench, uid)]


def commitments(bench: Bench, uid: str) -> list[dict[str, Any]]:
    """The commitment records of one instance, oldest first."""
    found = [one for one in records(bench.plan.log_dir) if one["type"] == "commitment" and one["sop_instance"] == uid]
    return sorted(found, key=lambda one: str(one["time"]))


def test_the_modality_is_told_on_its_own_association_when_the_pacs_has_committed(made: Bench) -> None:
    with CommitPacs(made.peer.port) as pacs:
        made.start()
        seen_once(made, pacs)
        images = series(made)
        send(made, images)
        answer = netdicom.request_commitment(made.plan.listen, images, MODALITY, PACS, stays=True)
    assert answer.status == 0 and answer.report is not None, made.box.log
    assert answer.report.event_type == 1
    assert sorted(answer.report.instances) == sorted(one.sop_instance for one in images)
    held.wait_empty(made)
    for one in images:  # by the PACS, then told
        wait_records(partial(committed, made, one), [("committed", None), ("committed", None)])


def ask(bench: Bench, images: list[Sample]) -> None:
    """The modality asks and leaves at once."""
    answer = netdicom.request_commitment(bench.plan.listen, images, MODALITY, PACS)
    assert answer.status == 0, bench.box.log


def test_a_modality_that_left_is_told_on_a_new_association_by_the_scp_role(made: Bench) -> None:
    with CommitPacs(made.peer.port, made.peer.calls) as pacs:
        made.start()
        seen_once(made, pacs)
        pacs.hold_back = True
        images = series(made)
        send(made, images)
        ask(made, images)
        until(lambda: len(pacs.requests) == 2, "the PACS was asked for these")
        until(lambda: len(held.files(made, State.AWAITING)) == 3, "kept until they are committed")
        time.sleep(0.5)
        assert not made.box.codes().count("WG657"), "nothing is claimed before the PACS has committed"
        assert pacs.report(pacs.requests[1]) == 0
        made.box.wait_code("CONNECT_FAILED")  # the modality does not listen yet
        with netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
            report = modality.wait("report")
    assert report.event_type == 1
    assert sorted(report.instances) == sorted(one.sop_instance for one in images)
    made.box.wait_code("COMMITMENT_TOLD")
    held.wait_empty(made)
    made.assert_log_verifies()


def test_failed_partial_late_and_repeated_reports_each_count_once_and_what_was_not_asked_never(made: Bench) -> None:
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        made.start()
        seen_once(made, pacs)
        pacs.hold_back = True
        images = series(made)
        send(made, images)
        ask(made, images)
        until(lambda: len(pacs.requests) == 2, "the PACS was asked for these")
        good, bad, later = (one.sop_instance for one in images)
        pacs.failed = {bad: 0x0112}
        pacs.silent = {later}
        pacs.extra = [(images[0].sop_class, "1.2.3.999")]
        assert pacs.report(pacs.requests[1], "2.25.4711") == 0  # a transaction of nobody
        made.box.wait_code("COMMITMENT_UNASKED")
        assert not commitments(made, good)
        for _ in range(3):  # partial, with a stranger in it, and twice again
            assert pacs.report(pacs.requests[1]) == 0
        until(lambda: len(pacs.requests) == 3, "what the report left out is asked again")
        assert not any(one.kind == "report" for one in modality.told)
        pacs.silent = set()
        assert pacs.report(pacs.requests[1]) == 0  # late: of the transaction that the box had given up
        report = modality.wait("report")
    assert report.event_type == 2
    failures = {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in report.data.FailedSOPSequence}
    assert failures == {bad: 0x0112}
    assert sorted(report.instances) == sorted([good, later])
    assert not commitments(made, "1.2.3.999")
    for uid, outcome in ((good, "committed"), (bad, "failed"), (later, "committed")):
        wait_records(partial(outcomes, made, uid), [outcome, outcome])
    until(lambda: [held.instance_of(entry) for entry in held.files(made, State.QUARANTINED)] == [bad], "what is not committed is set aside")
    assert "not committed" in made.box.hold("list").stdout


def test_a_request_waits_for_all_that_was_held_before_it_and_for_nothing_that_came_after(made: Bench) -> None:
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        made.start()
        seen_once(made, pacs)
        images, after = series(made), datasets.generate(made.folder / "after", 1, 16, study=3)
        pacs.refuses = {images[2].sop_instance: 0xA700}  # not now
        send(made, images)
        until(lambda: images[1].sop_instance in pacs.stored, "the first ones are there")
        ask(made, images)
        time.sleep(2)  # time enough to be wrong: what was never sent has failed
        assert images[2].sop_instance not in pacs.stored
        pacs.refuses = {after[0].sop_instance: 0xA700}
        send(made, after)
        report = modality.wait("report", 60)
        assert report.event_type == 1, "an instance that was on its way is not called failed"
        assert sorted(report.instances) == sorted(one.sop_instance for one in images)
        until(lambda: held.waiting(made) == {after[0].sop_instance}, "it waits, and held nothing up")


def test_the_pacs_is_not_believed_about_what_it_never_took(made: Bench) -> None:
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        made.start()
        seen_once(made, pacs)
        images = series(made)
        pacs.refuses = {images[1].sop_instance: 0xA900}
        send(made, images)
        made.box.wait_code("HOLD_QUARANTINED")
        ask(made, images)
        report = modality.wait("report")
    failures = {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in report.data.FailedSOPSequence}
    assert failures == {images[1].sop_instance: 0x0112}
    asked = {str(item.ReferencedSOPInstanceUID) for request in pacs.requests for item in request.ReferencedSOPSequence}
    assert images[1].sop_instance not in asked


def test_a_pacs_without_the_service_is_named_and_the_modality_is_refused_the_context(made: Bench) -> None:
    pacs = CommitPacs(made.peer.port)
    pacs.commits = False
    with pacs:
        made.start()
        images = series(made, 1)
        send(made, images)
        made.box.wait_code("COMMITMENT_NOT_DONE")
        held.wait_empty(made)
        with pytest.raises(AssertionError, match="no association"):
            netdicom.request_commitment(made.plan.listen, images, MODALITY, PACS)
    assert not commitments(made, images[0].sop_instance)


def test_for_such_a_pacs_the_configuration_may_let_its_success_count(made: Bench) -> None:
    made.peer.commitment = "stored"
    pacs = CommitPacs(made.peer.port)
    pacs.commits = False
    images = series(made, 2)
    made.start()
    send(made, images)
    with netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        ask(made, images)
        time.sleep(1.0)
        assert not modality.told, "the PACS is away: nothing is stored there"
        with pacs:
            report = modality.wait("report")
    assert report.event_type == 1 and len(report.instances) == 2
    held.wait_empty(made)


def test_the_pacs_may_be_away_between_and_the_box_restart(made: Bench) -> None:
    images = series(made, 2)
    with CommitPacs(made.peer.port, made.peer.calls) as pacs:
        made.start()
        seen_once(made, pacs)
        pacs.hold_back = True
        send(made, images)
        ask(made, images)
        until(lambda: len(pacs.requests) == 2, "the PACS was asked for these")
        kept = pacs.requests[1]
    made.box.stop()
    made.box.start()
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        assert pacs.report(kept) == 0
        report = modality.wait("report")
    assert report.event_type == 1 and len(report.instances) == 2
    held.wait_empty(made)
    assert not pacs.stored, "nothing is sent twice"


def test_with_relay_then_hold_the_report_of_a_relayed_request_reaches_the_modality_as_it_was(made: Bench) -> None:
    made.plan.delivery = "relay-then-hold"
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        made.start()
        images = series(made, 2)
        send(made, images)  # relayed
        pacs.failed = {images[1].sop_instance: 0x0213}
        ask(made, images)  # relayed too
        report = modality.wait("report")
        assert pacs.requests[0].TransactionUID == report.data.TransactionUID
    assert report.event_type == 2 and report.instances == [images[0].sop_instance]
    assert [int(item.FailureReason) for item in report.data.FailedSOPSequence] == [0x0213]
    wait_records(partial(outcomes, made, images[0].sop_instance), ["committed"])


def test_a_pacs_that_never_reports_is_asked_three_times_and_then_nothing_is_claimed(made: Bench) -> None:
    made.plan.hold = {"commitment_seconds": 4}
    with CommitPacs(made.peer.port, made.peer.calls) as pacs, netdicom.Scp(MODALITY, made.plan.modality_port) as modality:
        made.start()
        seen_once(made, pacs)
        pacs.hold_back = True
        (image,) = series(made, 1)
        send(made, [image])
        ask(made, [image])
        status: list[str] = []

        def said() -> bool:
            status.append(made.box.status().stdout)
            return "to ask for" in status[-1] or "without a report" in status[-1]

        until(said, "the status says so")
        report = modality.wait("report")
        assert [int(item.FailureReason) for item in report.data.FailedSOPSequence] == [0x0110]
        asked = [one for one in pacs.requests if one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.sop_instance]
        assert len({str(one.TransactionUID) for one in asked}) == 3, "each time in a transaction of its own"
        until(lambda: "not committed" in made.box.hold("list").stdout, "it is set aside")
        assert pacs.report(asked[0]) == 0  # later still
    # What was given up is not claimed by a late word.
    wait_records(partial(outcomes, made, image.sop_instance), ["failed"])


def test_two_instances_of_one_uid_with_different_bytes_are_both_sent_recorded_and_told_apart(made: Bench) -> None:
    (first,) = series(made, 1, "one")
    (second,) = series(made, 1, "two")
    content = bytearray(second.path.read_bytes())
    content[-2] ^= 1  # of the pixels
    second.path.write_bytes(content)
    second = datasets.sample(second.path)
    assert first.sop_instance == second.sop_instance and first.sha256 != second.sha256
    with CommitPacs(made.peer.port, made.peer.calls) as pacs:
        made.start()
        for one in (first, second):
            send(made, [one])
        held.wait_empty(made)
        until(lambda: commitments(made, first.sop_instance), "it is committed")
    sent = [datasets.data_set(one.path.read_bytes()) for one in (first, second)]
    assert pacs.bytes[first.sop_instance] == sent
    wait_records(
        lambda: sorted(one["digests"][0]["value"] for one in stores_of(made.plan.log_dir, first.sop_instance)),
        sorted([first.sha256, second.sha256] * 2),
    )
    made.assert_log_verifies()
    for one in (first, second):
        done = tool("custody", "verify", made.plan.log_dir, "--key", made.box.public_key, "--dicom", one.path)
        assert done.returncode == 0 and "identical" in done.stdout


@pytest.mark.skipif(not peers.have("Orthanc"), reason="Orthanc is not installed")
def test_orthanc_commits_and_the_modality_is_told(bench: Bench) -> None:
    bench.plan.delivery = "hold"
    bench.peer.hold_transfer_syntaxes = held.SYNTAXES
    bench.peer.commitment = "destination"
    orthanc = Orthanc(bench.folder / "orthanc", bench.peer.port, bench.peer.calls, certs.dcmtk(bench.pki, "pacs-rsa"), MODALITY)
    bench.add(orthanc.program)
    bench.start()
    first = series(bench, 1, "first")
    send(bench, first)
    bench.box.wait_code("COMMITMENT_REPORTED")
    images = series(bench)
    send(bench, images)
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        ask(bench, images)
        report = modality.wait("report")
    assert report.event_type == 1, bench.box.log
    assert sorted(report.instances) == sorted(one.sop_instance for one in images)
    held.wait_empty(bench)
    bench.assert_log_verifies()
