"""kill -9 of forwarder and worker while storage commitment is under way: nothing promised is forgotten, nothing is claimed too early."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from support import certs, datasets, held, netdicom
from support.bench import MODALITY, PACS, Bench
from support.commitpacs import CommitPacs
from support.ondisk import records
from support.processes import alive, until


def forwarder(bench: Bench) -> int:
    """The forwarder, once it is there (again)."""
    found: list[int] = []

    def there() -> bool:
        with contextlib.suppress(StopIteration):
            found.append(bench.box.forwarder())
        return bool(found)

    until(there, "a forwarder runs")
    return found[-1]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it is dead")


def test_forwarder_and_worker_killed_at_each_stage_still_tell_the_modality_once_the_pacs_has_committed(bench: Bench) -> None:
    held.plan(bench)
    bench.peer.commitment = "destination"
    with CommitPacs(bench.peer.port, bench.peer.calls) as pacs, netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        bench.start()
        assert bench.send(datasets.generate(bench.folder / "first", 1, 16, study=2), "-R").returncode == 0
        until(lambda: pacs.requests, "the PACS was asked")
        held.wait_empty(bench)
        pacs.hold_back = True
        images = datasets.generate(bench.folder / "in", 3, 16)
        assert bench.send(images, "-R").returncode == 0
        kill(forwarder(bench))  # sent or not, asked or not
        assert netdicom.request_commitment(bench.plan.listen, images, MODALITY, PACS).status == 0
        kill(bench.box.workers()[0])  # it has answered the N-ACTION
        wanted = {one.sop_instance for one in images}

        def asked() -> set[str]:
            return {str(item.ReferencedSOPInstanceUID) for one in pacs.requests for item in one.ReferencedSOPSequence}

        until(lambda: wanted <= asked(), f"the PACS was asked for all\n{bench.box.log[-2000:]}")
        assert not modality.told
        kill(forwarder(bench))  # the transactions are in the journal
        for request in pacs.requests[1:]:
            assert pacs.report(request) == 0
        kill(forwarder(bench))  # with the report in the inbox, or in the journal
        report = modality.wait("report")
        assert report.event_type == 1 and set(report.instances) == wanted
        held.wait_empty(bench)
    assert set(pacs.stored[1:]) == wanted
    bench.assert_log_verifies()


def test_an_original_survives_kills_between_transfer_report_and_local_change_with_one_holder_at_the_end(bench: Bench) -> None:
    bench.plan.delivery, bench.plan.sop_instance_status = "hold", "holder"
    bench.peer.hold_transfer_syntaxes, bench.peer.commitment = held.SYNTAXES, "destination"
    bench.peer.words = {"sop_instance_status": "conforms", "after_transfer": "NS"}
    bench.plan.link = {"creating_entity": True, "equipment_certification": "CERT-17"}
    with CommitPacs(bench.peer.port, bench.peer.calls, tls=certs.dcmtk(bench.pki, "pacs-rsa")) as pacs:
        pacs.hold_back = True
        bench.start()
        images = datasets.generate(bench.folder / "in", 3, 16)
        wanted = {one.sop_instance for one in images}
        assert bench.send(images, "-R").returncode == 0
        until(lambda: pacs.stored, "one was transferred")
        kill(forwarder(bench))  # transferred or not, noted or not

        def asked() -> set[str]:
            return {str(item.ReferencedSOPInstanceUID) for one in pacs.requests for item in one.ReferencedSOPSequence}

        until(lambda: wanted <= asked(), f"the PACS was asked for all\n{bench.box.log[-2000:]}")
        kill(forwarder(bench))
        assert all(one.sop_instance in bench.box.hold("list").stdout for one in images), "the box is their holder"
        for request in pacs.requests:
            assert pacs.report(request) == 0
        kill(forwarder(bench))  # report in the inbox, recorded, in the journal, or acted upon
        until(lambda: bench.box.hold("list").stdout.count("copy kept") == 3, f"NS copies stay\n{bench.box.log[-3000:]}")
    for one in images:
        found = [each for each in records(bench.plan.log_dir) if each["type"] == "sop-instance-status"]
        steps = {(each["event"], each["before"], each["after"]) for each in found if each["sop_instance"] == one.sop_instance}
        assert steps == {("transferred", "OR", "OR_PENDING"), ("committed", "OR_PENDING", "NS")}
    bench.assert_log_verifies()
