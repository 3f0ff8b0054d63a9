"""Held instances between DCMTK peers: PACS away, modality served, PACS back, every byte there and in order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support import datasets, held, peers
from support.bench import MODALITY, PACS, Bench
from support.datasets import Sample
from support.ondisk import stores_of, wait_records
from support.processes import Program, until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu", "dcmsend", "dcmconv"), reason="DCMTK is not installed")

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
ENCAPSULATED = ("693_J2KR.dcm", "MR2_J2KI.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "JPEGLSNearLossless_16.dcm")


def delivered_in_order(pacs: Program, samples: list[Sample]) -> None:
    """The PACS was given the instances in the order in which the modality sent them."""
    seen = re.findall(r"Affected SOP Instance UID *: ([0-9.]+)", pacs.log)
    assert seen == [one.sop_instance for one in samples]


def real_images(folder: Path) -> list[Sample]:
    from pydicom.data import get_testdata_file

    found = []
    for name in ENCAPSULATED:
        assert peers.run(["dcmconv", "-q", "+e", "-g", "-p", str(get_testdata_file(name, download=False)), folder / name]).returncode == 0
        found.append(datasets.sample(folder / name))
    return found


def test_a_study_is_taken_while_the_pacs_is_away_and_arrives_bit_exact_and_in_order(bench: Bench) -> None:
    bench.plan.delivery = "hold"
    bench.peer.hold_transfer_syntaxes = SYNTAXES
    bench.start()
    assert bench.echo().returncode == 0, bench.box.log
    series = datasets.generate(bench.folder / "in", 12, 128)
    done = bench.send(series)
    assert done.returncode == 0, done.stdout + bench.box.log
    assert len(held.files(bench)) == 12
    assert not any(b"Test^Phantom" in path.read_bytes() for path in (bench.plan.hold_dir / "queue").iterdir())
    until(lambda: "12 waiting" in bench.box.status().stdout, "the status shows what waits")
    pacs = bench.pacs("-d")
    held.wait_empty(bench)
    bench.assert_delivered(series)
    delivered_in_order(pacs, series)
    bench.assert_log_verifies()


def test_every_transfer_syntax_that_the_pacs_took_once_is_held_later_and_arrives_unchanged(bench: Bench) -> None:
    bench.plan.delivery = "relay-then-hold"
    pacs = bench.pacs()
    bench.start()
    real = real_images(bench.folder)
    done = peers.dcmsend(bench.plan.listen, *(one.path for one in real), calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(real)
    pacs.stop()
    shutil.rmtree(bench.folder / "pacs")
    done = peers.dcmsend(bench.plan.listen, *(one.path for one in real), calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    assert len(held.files(bench)) == len(real)
    bench.pacs()
    held.wait_empty(bench)
    arrived = datasets.samples(bench.folder / "pacs")
    for one in real:
        assert arrived[one.sop_instance].sha256 == one.sha256
        assert arrived[one.sop_instance].transfer_syntax == one.transfer_syntax
    for one in real:  # relayed, taken by the box, forwarded: three records, one digest
        wait_records(lambda: len(stores_of(bench.plan.log_dir, one.sop_instance)), 3)  # noqa: B023
        records = stores_of(bench.plan.log_dir, one.sop_instance)
        assert {record["digests"][0]["value"] for record in records} == {one.sha256}
        assert [record["requestor"]["address"] == "hold" for record in records] == [False, True, False]
        assert [record["acceptor"]["address"] == "hold" for record in records] == [False, False, True]


def test_a_first_contact_without_memory_and_list_is_refused_with_its_code(bench: Bench) -> None:
    bench.plan.delivery = "relay-then-hold"
    bench.start()
    done = bench.send(datasets.generate(bench.folder / "in", 1, 16))
    assert done.returncode != 0
    bench.box.wait_code("HOLD_FIRST_CONTACT")
    assert not held.files(bench)


def test_a_transfer_syntax_that_the_pacs_never_took_is_not_taken_by_the_box(bench: Bench) -> None:
    bench.plan.delivery = "hold"
    bench.peer.hold_transfer_syntaxes = SYNTAXES[:2]
    bench.start()
    real = real_images(bench.folder)[:1]
    done = peers.dcmsend(bench.plan.listen, real[0].path, calling=MODALITY, called=PACS)
    assert "No Acceptable Presentation Contexts" in done.stdout or done.returncode != 0, done.stdout
    assert not held.files(bench)
