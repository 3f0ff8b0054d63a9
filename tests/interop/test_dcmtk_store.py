"""C-ECHO and C-STORE between DCMTK peers through the box, both ways."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support import datasets, peers
from support.bench import MODALITY, PACS, Bench
from support.processes import until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu", "dcmsend", "dcmconv"), reason="DCMTK is not installed")

ENCAPSULATED = ("693_J2KR.dcm", "MR2_J2KI.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "JPEGLSNearLossless_16.dcm")


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.pacs()
    bench.modality()
    bench.start()
    return bench


def test_echoscu_of_the_modality_reaches_the_tls_pacs(running: Bench) -> None:
    done = running.echo()
    assert done.returncode == 0, done.stdout + running.box.log
    assert "Received Echo Response (Success)" in done.stdout


def test_echoscu_over_tls_of_the_pacs_reaches_the_plain_modality(running: Bench) -> None:
    done = running.echo_back()
    assert done.returncode == 0, done.stdout + running.box.log
    assert "Received Echo Response (Success)" in done.stdout


def test_storescu_stores_a_series_on_the_tls_pacs_byte_for_byte_under_custody(running: Bench) -> None:
    series = datasets.generate(running.folder / "in", 8)
    done = running.send(series)
    assert done.returncode == 0, done.stdout + running.box.log
    running.assert_delivered(series)
    running.assert_log_verifies()


def test_storescu_over_tls_stores_a_series_on_the_plain_modality_under_custody(running: Bench) -> None:
    series = datasets.generate(running.folder / "in", 8, 256, modality="MR")
    done = running.send_back(series)
    assert done.returncode == 0, done.stdout + running.box.log
    running.assert_delivered(series, "modality")
    running.assert_log_verifies()


def test_implicit_vr_and_big_endian_pass_unchanged(bench: Bench) -> None:
    bench.pacs("+xb")
    bench.start()
    series = datasets.generate(bench.folder / "in", 2, 64, implicit=True)
    done = bench.send(series, "-R", "-xi")
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(series)
    shutil.rmtree(bench.folder / "pacs")
    (bench.folder / "pacs").mkdir()
    big = bench.folder / "big.dcm"
    assert peers.run(["dcmconv", "+tb", series[0].path, big]).returncode == 0
    done = bench.send([datasets.sample(big)], "-R", "-xb")
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered([datasets.sample(big)])
    assert datasets.sample(big).transfer_syntax == "1.2.840.10008.1.2.2"


def test_dcmsend_passes_real_encapsulated_images_unchanged(running: Bench, folder: Path) -> None:
    from pydicom.data import get_testdata_file

    real = []
    for name in ENCAPSULATED:
        assert peers.run(["dcmconv", "-q", "+e", "-g", "-p", str(get_testdata_file(name, download=False)), folder / name]).returncode == 0
        real.append(datasets.sample(folder / name))
    done = peers.dcmsend(running.plan.listen, *(one.path for one in real), calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + running.box.log
    running.assert_delivered(real)
    assert len({one.transfer_syntax for one in real}) == 5


@pytest.mark.parametrize(("sender", "receiver"), [(4096, 4096), (4096, 131072), (131072, 4096), (131072, 131072)])
def test_every_maximum_pdu_length_passes(bench: Bench, sender: int, receiver: int) -> None:
    bench.pacs("-pdu", str(receiver))
    bench.start()
    series = datasets.generate(bench.folder / "in", 2)
    done = bench.send(series, "-pdu", str(sender), "--max-send-pdu", str(receiver))
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(series)


def test_a_name_that_the_link_does_not_know_is_rejected(running: Bench) -> None:
    done = peers.echoscu(running.plan.listen, calling=MODALITY, called="ELSEWHERE")
    assert done.returncode != 0
    assert "Association Rejected" in done.stdout
    done = peers.echoscu(running.plan.listen, calling="STRANGER", called=PACS)
    assert done.returncode != 0
    assert "Association Rejected" in done.stdout
    running.assert_works()


def test_a_sop_class_that_policy_does_not_allow_is_left_out_and_the_rest_passes(bench: Bench) -> None:
    bench.plan.sop_classes = (datasets.VERIFICATION, datasets.CT_IMAGE)
    pacs = bench.pacs("-d")
    bench.start()
    allowed = datasets.generate(bench.folder / "ct", 1, 64)
    refused = datasets.generate(bench.folder / "mr", 1, 64, study=2, modality="MR")
    done = bench.send([*allowed, *refused], "-R", "-nh")
    assert "No presentation context" in done.stdout or "No Acceptable Presentation Contexts" in done.stdout, done.stdout
    bench.assert_delivered(allowed)
    assert refused[0].sop_instance not in datasets.samples(bench.folder / "pacs")
    assert "MRImageStorage" not in pacs.log.replace(allowed[0].sop_instance, "")
    done = bench.send(refused, "-R")
    assert done.returncode != 0
    assert "Rejected" in done.stdout, done.stdout


def test_a_release_by_the_sender_ends_the_association_at_the_pacs_too(running: Bench) -> None:
    assert running.echo().returncode == 0
    until(lambda: "Association Release" in running.programs[0].log, "the PACS sees the release")
    assert "Abort" not in running.programs[0].log


def test_an_abort_by_the_sender_reaches_the_pacs(running: Bench) -> None:
    done = peers.echoscu(running.plan.listen, "--abort", calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout
    peers_log = running.programs[0]
    until(lambda: "Association Aborted" in peers_log.log, "the PACS sees the abort")
    running.assert_works()
