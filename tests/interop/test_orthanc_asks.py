"""Orthanc as the side that asks: it queries, retrieves and has storage committed by the modality, over TLS through the box."""

from __future__ import annotations

import pytest

from support import certs, datasets, peers
from support.bench import MODALITY, PACS, Bench
from support.orthanc import Orthanc
from support.processes import until

pytestmark = pytest.mark.skipif(not peers.have("Orthanc", "storescu", "dcmqrscp"), reason="Orthanc or DCMTK is not installed")


@pytest.fixture
def orthanc(bench: Bench) -> Orthanc:
    made = Orthanc(bench.folder / "orthanc", bench.peer.port, bench.peer.calls, certs.dcmtk(bench.pki, "pacs-rsa"), MODALITY)
    bench.add(made.program)
    bench.start()
    return made


def test_orthanc_finds_a_study_at_the_modality_and_has_it_moved_to_itself(bench: Bench, orthanc: Orthanc) -> None:
    bench.add(peers.dcmqrscp(bench.folder / "modality", bench.plan.modality_port, MODALITY, PACS, bench.plan.listen))
    series = datasets.generate(bench.folder / "in", 3, 128)
    assert bench.send_back(series, "-R").returncode == 0, bench.box.log
    query = orthanc.post("/modalities/ct1/query", {"Level": "Study", "Query": {"PatientID": "WG0001"}})["ID"]
    assert len(orthanc.get(f"/queries/{query}/answers")) == 1, bench.box.log
    orthanc.post(f"/queries/{query}/retrieve", {"TargetAet": PACS, "Synchronous": True})
    until(lambda: len(orthanc.get("/instances")) == 3, "the study is at Orthanc")
    held = {datasets.meta(content)[3]: datasets.data_set(content) for content in map(orthanc.file, orthanc.get("/instances"))}
    for one in series:
        assert held[one.sop_instance] == datasets.data_set(one.path.read_bytes())
        bench.assert_recorded(one)
    bench.assert_log_verifies()


def test_the_modality_commits_what_orthanc_asks_for(bench: Bench, orthanc: Orthanc) -> None:
    pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
    from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

    from support import netdicom

    series = datasets.generate(bench.folder / "in", 2, 64)
    wanted = [{"SOPClassUID": one.sop_class, "SOPInstanceUID": one.sop_instance} for one in series]
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        place = orthanc.post("/modalities/ct1/storage-commitment", {"DicomInstances": wanted})["Path"]
        assert orthanc.get(place)["Status"] == "Pending"
        asked = modality.wait("action").data
        wish = (StorageCommitmentPushModel,)
        with netdicom.associate(bench.plan.listen, MODALITY, PACS, *wish, roles=wish) as back:
            assert netdicom.send_report(back, asked) == 0
    until(lambda: orthanc.get(place)["Status"] != "Pending", "Orthanc has looked at the report")
    said = orthanc.get(place)
    assert said["Status"] == "Success" and said["RemoteAET"] == MODALITY
    assert sorted(one["SOPInstanceUID"] for one in said["Success"]) == sorted(one.sop_instance for one in series)
    bench.box.wait_code("COMMITMENT_REPORTED")
