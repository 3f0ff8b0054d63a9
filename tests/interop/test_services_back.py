"""Services in the direction that is less usual: the hospital side asks and the modality serves; and C-MOVE, asked for by either."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
)

from support import certs, datasets, netdicom
from support.bench import MODALITY, PACS, Bench
from support.ondisk import store_of
from support.peers import TlsFiles

STEP = "1.2.826.0.1.3680043.10.1453.66.2"


@pytest.fixture
def tls(bench: Bench) -> TlsFiles:
    return certs.dcmtk(bench.pki, "pacs-ecdsa")


def _patient() -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "PATIENT", "WG0001"
    return query


def test_c_find_worklist_over_tls_brings_every_match_of_the_modality_side(bench: Bench, tls: TlsFiles) -> None:
    query = Dataset()
    query.PatientName = "*"
    with netdicom.Scp(MODALITY, bench.plan.modality_port):
        bench.start()
        with netdicom.associate(bench.peer.calls, PACS, MODALITY, ModalityWorklistInformationFind, tls=tls) as association:
            answers = list(association.send_c_find(query, ModalityWorklistInformationFind))
    assert [str(match.PatientName) for _, match in answers if match] == ["WARD^1", "WARD^2", "WARD^3"]


def test_mpps_over_tls_is_created_and_set_at_the_modality_side(bench: Bench, tls: TlsFiles) -> None:
    begun, ended = Dataset(), Dataset()
    begun.PerformedProcedureStepStatus, ended.PerformedProcedureStepStatus = "IN PROGRESS", "COMPLETED"
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        bench.start()
        with netdicom.associate(bench.peer.calls, PACS, MODALITY, ModalityPerformedProcedureStep, tls=tls) as association:
            assert association.send_n_create(begun, ModalityPerformedProcedureStep, STEP)[0].Status == 0
            assert association.send_n_set(ended, ModalityPerformedProcedureStep, STEP)[0].Status == 0
        told = [modality.wait(kind) for kind in ("create", "set")]
    assert [(one.instance, one.data.PerformedProcedureStepStatus) for one in told] == [(STEP, "IN PROGRESS"), (STEP, "COMPLETED")]


def test_the_modality_commits_what_the_pacs_asks_for_on_an_association_that_it_opens(bench: Bench, tls: TlsFiles) -> None:
    series = datasets.generate(bench.folder / "in", 2, 64)
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality, netdicom.Scp(PACS, bench.peer.port, tls) as pacs:
        bench.start()
        assert netdicom.request_commitment(bench.peer.calls, series, PACS, MODALITY, tls=tls).status == 0
        wanted = modality.wait("action").data
        with netdicom.associate(bench.plan.listen, MODALITY, PACS, StorageCommitmentPushModel, roles=(StorageCommitmentPushModel,)) as back:
            assert netdicom.send_report(back, wanted) == 0
        report = pacs.wait("report")
    assert report.instances == [one.sop_instance for one in series]
    bench.box.wait_code("COMMITMENT_REPORTED")


@pytest.mark.parametrize("asker", [MODALITY, PACS])
def test_c_move_brings_instances_on_an_association_that_the_other_side_opens(bench: Bench, tls: TlsFiles, asker: str) -> None:
    """Asked for by either side; the sub-operations come back through the box, under custody."""
    held = datasets.generate(bench.folder / "held", 3, 128)
    ports = {MODALITY: bench.plan.listen, PACS: bench.peer.calls}
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality, netdicom.Scp(PACS, bench.peer.port, tls) as pacs:
        mover, taker = (pacs, modality) if asker == MODALITY else (modality, pacs)
        other = PACS if asker == MODALITY else MODALITY
        mover.holds, mover.back = held, (ports[other], tls if asker == MODALITY else None)
        bench.start()
        wanted = PatientRootQueryRetrieveInformationModelMove
        with netdicom.associate(ports[asker], asker, other, wanted, tls=None if asker == MODALITY else tls) as association:
            statuses = [status for status, _ in association.send_c_move(_patient(), asker, wanted)]
    assert (statuses[-1].Status, statuses[-1].NumberOfCompletedSuboperations) == (0x0000, 3), bench.box.log
    assert {told.instance for told in taker.told if told.kind == "store"} == {one.sop_instance for one in held}
    for one in held:
        record = store_of(bench.plan.log_dir, one.sop_instance)
        assert (record["direction"], record["status"]) == ("to-modality" if asker == MODALITY else "to-hospital", "0000")
