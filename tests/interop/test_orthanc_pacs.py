"""Orthanc as the PACS, with DICOM TLS both ways: C-ECHO, C-STORE, C-FIND, C-MOVE, worklist, storage commitment."""

from __future__ import annotations

import pytest

from support import certs, datasets, peers
from support.bench import MODALITY, PACS, Bench
from support.orthanc import WORKLIST_PLUGIN, Orthanc
from support.worklist import QUERY, write_worklist

pytestmark = pytest.mark.skipif(not peers.have("Orthanc", "storescu", "findscu", "movescu"), reason="Orthanc or DCMTK is not installed")


@pytest.fixture
def orthanc(bench: Bench) -> Orthanc:
    worklists = write_worklist(bench.folder / "wl", PACS) / PACS if list(WORKLIST_PLUGIN.glob("libModalityWorklists.so*")) else None
    made = Orthanc(bench.folder / "orthanc", bench.peer.port, bench.peer.calls, certs.dcmtk(bench.pki, "pacs-rsa"), MODALITY, worklists)
    bench.add(made.program)
    bench.modality()
    bench.start()
    return made


def test_the_modality_stores_on_orthanc(bench: Bench, orthanc: Orthanc) -> None:
    assert bench.echo().returncode == 0, bench.box.log
    series = datasets.generate(bench.folder / "in", 5)
    done = bench.send(series, "-R")
    assert done.returncode == 0, done.stdout + bench.box.log
    held = {datasets.meta(content)[3]: datasets.data_set(content) for content in map(orthanc.file, orthanc.get("/instances"))}
    assert sorted(held) == sorted(one.sop_instance for one in series)
    for one in series:
        assert held[one.sop_instance] == datasets.data_set(one.path.read_bytes())
        bench.assert_recorded(one)


def test_orthanc_stores_on_the_modality(bench: Bench, orthanc: Orthanc) -> None:
    assert orthanc.post("/modalities/ct1/echo", {}) == {}
    series = datasets.generate(bench.folder / "in", 2, 128)
    assert bench.send(series, "-R").returncode == 0, bench.box.log
    told = orthanc.post("/modalities/ct1/store", {"Resources": orthanc.get("/instances"), "Synchronous": True})
    assert told["FailedInstancesCount"] == 0, bench.box.log
    bench.assert_delivered(series, "modality")


def test_the_modality_finds_and_moves_a_study_back_over_a_second_association(bench: Bench, orthanc: Orthanc) -> None:
    series = datasets.generate(bench.folder / "in", 3, 128)
    assert bench.send(series, "-R").returncode == 0, bench.box.log
    study = series[0].sop_instance.rsplit(".", 2)[0]
    keys = ("-S", "-k", "0008,0052=STUDY", "-k", f"0020,000D={study}", "-k", "0010,0020")
    done = peers.findscu(bench.plan.listen, *keys, calling=MODALITY, called=PACS)
    assert done.returncode == 0 and "WG0001" in done.stdout, done.stdout + bench.box.log
    done = peers.movescu(bench.plan.listen, *keys[:5], "-aem", MODALITY, calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(series, "modality")


@pytest.mark.skipif(not list(WORKLIST_PLUGIN.glob("libModalityWorklists.so*")), reason="Orthanc's worklist plugin is not installed")
def test_the_modality_gets_its_worklist_from_orthanc(bench: Bench, orthanc: Orthanc) -> None:
    done = peers.findscu(bench.plan.listen, "-W", *QUERY, calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    assert "WARD^ONE" in done.stdout and "WARD^TWO" in done.stdout, done.stdout


def test_orthanc_reports_storage_commitment_on_an_association_of_its_own(bench: Bench, orthanc: Orthanc) -> None:
    pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
    from support import netdicom

    series = datasets.generate(bench.folder / "in", 2, 64)
    assert bench.send(series, "-R").returncode == 0, bench.box.log
    bench.programs[1].stop()  # the modality's storescp makes room for one that takes N-EVENT-REPORT
    with netdicom.Scp(MODALITY, bench.plan.modality_port) as modality:
        assert netdicom.request_commitment(bench.plan.listen, series, MODALITY, PACS).status == 0
        report = modality.wait("report")
    assert report.event_type == 1  # PS3.4 J.3.3: all instances committed
    assert sorted(report.instances) == sorted(one.sop_instance for one in series)
