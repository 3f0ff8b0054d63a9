"""pynetdicom on both sides of the box: C-ECHO, C-STORE, C-FIND worklist, C-GET, MPPS, storage commitment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    PatientRootQueryRetrieveInformationModelGet,
    StorageCommitmentPushModel,
    Verification,
)

from support import certs, datasets, netdicom
from support.bench import MODALITY, PACS, Bench
from support.peers import TlsFiles

STEP = "1.2.826.0.1.3680043.10.1453.66.1"


@pytest.fixture
def tls(bench: Bench) -> TlsFiles:
    return certs.dcmtk(bench.pki, "pacs-ecdsa")


@pytest.fixture
def pacs(bench: Bench, tls: TlsFiles) -> Iterator[netdicom.Scp]:
    with netdicom.Scp(PACS, bench.peer.port, tls) as made:
        bench.start()
        yield made


@pytest.fixture
def modality(bench: Bench) -> Iterator[netdicom.Scp]:
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as made:
        bench.start()
        yield made


def test_c_echo_and_c_store_reach_the_tls_pacs(bench: Bench, pacs: netdicom.Scp) -> None:
    series = datasets.generate(bench.folder / "in", 3, 128)
    with netdicom.associate(bench.plan.listen, MODALITY, PACS, Verification, CTImageStorage) as association:
        assert association.send_c_echo().Status == 0
        assert [netdicom.store_as_is(association, one) for one in series] == [0, 0, 0]
    _same(series, pacs)
    for one in series:
        bench.assert_recorded(one)


def test_c_echo_and_c_store_over_tls_reach_the_plain_modality(bench: Bench, modality: netdicom.Scp, tls: TlsFiles) -> None:
    series = datasets.generate(bench.folder / "in", 3, 128)
    with netdicom.associate(bench.peer.calls, PACS, MODALITY, Verification, CTImageStorage, tls=tls) as association:
        assert association.send_c_echo().Status == 0
        assert [netdicom.store_as_is(association, one) for one in series] == [0, 0, 0]
    _same(series, modality)
    for one in series:
        bench.assert_recorded(one)


def test_c_find_worklist_brings_every_match(bench: Bench, pacs: netdicom.Scp) -> None:
    query = Dataset()
    query.PatientName = "*"
    with netdicom.associate(bench.plan.listen, MODALITY, PACS, ModalityWorklistInformationFind) as association:
        answers = list(association.send_c_find(query, ModalityWorklistInformationFind))
    assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    assert [str(match.PatientName) for _, match in answers if match] == ["WARD^1", "WARD^2", "WARD^3"]


def test_c_get_stores_back_on_the_same_association_under_custody(bench: Bench, pacs: netdicom.Scp) -> None:
    pacs.holds = datasets.generate(bench.folder / "held", 2, 128)
    got: list[str] = []

    def store(event: Any) -> int:
        got.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "PATIENT", "WG0001"
    wanted = (PatientRootQueryRetrieveInformationModelGet, CTImageStorage)
    handlers = [(evt.EVT_C_STORE, store)]
    with netdicom.associate(bench.plan.listen, MODALITY, PACS, *wanted, roles=(CTImageStorage,), handlers=handlers) as association:
        statuses = [status.Status for status, _ in association.send_c_get(query, wanted[0])]
    assert statuses[-1] == 0x0000, bench.box.log
    assert got == [one.sop_instance for one in pacs.holds]
    for one in pacs.holds:
        record = _record(bench, one)
        assert record["sent_by"] == "requestor"
        assert record["status"] == "0000"


def test_mpps_is_created_and_set(bench: Bench, pacs: netdicom.Scp) -> None:
    begun, ended = Dataset(), Dataset()
    begun.PerformedProcedureStepStatus = "IN PROGRESS"
    ended.PerformedProcedureStepStatus = "COMPLETED"
    with netdicom.associate(bench.plan.listen, MODALITY, PACS, ModalityPerformedProcedureStep) as association:
        status, _ = association.send_n_create(begun, ModalityPerformedProcedureStep, STEP)
        assert status.Status == 0
        status, _ = association.send_n_set(ended, ModalityPerformedProcedureStep, STEP)
        assert status.Status == 0
    assert (pacs.wait("create").instance, pacs.wait("create").data.PerformedProcedureStepStatus) == (STEP, "IN PROGRESS")
    assert (pacs.wait("set").instance, pacs.wait("set").data.PerformedProcedureStepStatus) == (STEP, "COMPLETED")


def test_storage_commitment_is_reported_on_the_same_association(bench: Bench, tls: TlsFiles) -> None:
    series = datasets.generate(bench.folder / "in", 2, 64)
    with netdicom.Scp(PACS, bench.peer.port, tls, report="same association") as pacs:
        bench.start()
        done = netdicom.request_commitment(bench.plan.listen, series, MODALITY, PACS, stays=True)
        assert pacs.wait("action").instance == netdicom.COMMITMENT_INSTANCE
    assert done.status == 0
    assert done.report is not None and done.report.event_type == 1
    assert done.report.instances == [one.sop_instance for one in series]
    _assert_committed(bench, series, "requestor")


def test_storage_commitment_is_reported_on_an_association_that_the_pacs_opens(bench: Bench, pacs: netdicom.Scp, tls: TlsFiles) -> None:
    series = datasets.generate(bench.folder / "in", 2, 64)
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        assert netdicom.request_commitment(bench.plan.listen, series, MODALITY, PACS).status == 0
        wanted = pacs.wait("action").data
        # PS3.7 D.3.3.4: the reporter is the SCP and opens the association, so it proposes the SCP role for itself.
        with netdicom.associate(
            bench.peer.calls, PACS, MODALITY, StorageCommitmentPushModel, tls=tls, roles=(StorageCommitmentPushModel,)
        ) as back:
            assert netdicom.send_report(back, wanted) == 0
        report = modality.wait("report")
    assert report.instances == [one.sop_instance for one in series]
    _assert_committed(bench, series, "acceptor")
    bench.assert_log_verifies()


def _assert_committed(bench: Bench, series: list[datasets.Sample], sent_by: str) -> None:
    """Each instance has its closing entry: what the PACS reported, said by which leg."""
    from support.ondisk import records, wait_records

    def found() -> dict[str, dict[str, Any]]:
        return {record["sop_instance"]: record for record in records(bench.plan.log_dir) if record["type"] == "commitment"}

    wait_records(lambda: set(found()), {one.sop_instance for one in series})
    for record in found().values():
        assert (record["outcome"], record["reason"], record["sent_by"]) == ("committed", None, sent_by)
        assert record["transaction"] == "1.2.826.0.1.3680043.10.1453.77.1"
    bench.box.wait_code("COMMITMENT_REPORTED")


def _same(series: list[datasets.Sample], scp: netdicom.Scp) -> None:
    got = {told.instance: told.data for told in scp.told if told.kind == "store"}
    for one in series:
        assert got[one.sop_instance] == datasets.data_set(one.path.read_bytes())


def _record(bench: Bench, one: datasets.Sample) -> dict[str, Any]:
    from support.ondisk import store_of

    return store_of(bench.plan.log_dir, one.sop_instance)
