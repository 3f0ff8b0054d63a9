"""kill -9 of forwarder and worker while storage commitment is under way: nothing promised is forgotten, nothing is claimed too early."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from support import datasets, held, netdicom
from support.bench import MODALITY, PACS, Bench
from support.commitpacs import CommitPacs
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
        assert bench.send(datasets.generate(bench.folder / "first", 1, 16), "-R").returncode == 0
        until(lambda: pacs.requests, "the PACS was asked", 30)
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

        until(lambda: wanted <= asked(), f"the PACS was asked for all\n{bench.box.log[-2000:]}", 60)
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
