"""DCMTK at both ends of two boxes joined by the legacy ISCL-style channel, and of one box between an ISCL peer and a TLS PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.isclboxes import TwoBoxes, key_file
from support.ondisk import store_of, stores_of
from support.processes import until
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")


@pytest.fixture
def boxes(folder: Path, pki: Pki, request: pytest.FixtureRequest) -> Iterator[TwoBoxes]:
    keys = key_file(folder)
    made = TwoBoxes(folder, pki, (keys, keys), **getattr(request, "param", {}))
    yield made
    made.close()


@pytest.mark.parametrize(
    "boxes",
    [
        {},
        {"encryption": "none", "mac": "des-mac"},
        {"tls_pacs": True},
        {"method": "iso-9798-4", "encryption": "aes-256-gcm", "mac": "integrated", "unsafe_allow_des": False},
    ],
    indirect=True,
    ids=["des-cbc-md5", "des-mac", "iscl-and-tls", "aes-gcm-extension"],
)
def test_a_series_reaches_the_pacs_byte_for_byte(boxes: TwoBoxes) -> None:
    boxes.start()
    series = datasets.generate(boxes.folder / "in", 5)
    done = boxes.send(series)
    assert done.returncode == 0, done.stdout + boxes.log
    boxes.assert_delivered(series)
    for plan in (boxes.plan_a, boxes.plan_b):
        record = store_of(plan.log_dir, series[0].sop_instance)
        assert {"alg": "sha256", "scope": "dataset", "value": series[0].sha256} in record["digests"]


@pytest.mark.parametrize("boxes", [{"holds": "a"}, {"holds": "b"}], indirect=True, ids=["towards-iscl", "taken-from-iscl"])
def test_what_is_held_passes_over_iscl_when_the_other_side_is_back(boxes: TwoBoxes) -> None:
    """Box A forwards over an ISCL leg; box B takes over an ISCL leg what it holds."""
    towards = boxes.plan_a.delivery == "hold"
    away, here = (boxes.b, boxes.a) if towards else (None, boxes.b)
    boxes.a.start()
    if away is None:
        boxes.b.start()
    series = datasets.generate(boxes.folder / "in", 4)
    done = boxes.send(series)
    assert done.returncode == 0, done.stdout + boxes.log
    until(lambda: "4 waiting" in here.status().stdout, "the queue shows them")
    boxes.pacs()
    if away is not None:
        away.start()
    until(lambda: "0 waiting" in here.status().stdout, "the queue is empty", 60)
    boxes.assert_delivered(series)
    record = stores_of(here.plan.log_dir, series[0].sop_instance)
    legs = [one["requestor" if towards else "acceptor"]["tls"] for one in record]
    assert "ISCL-style R1 des-cbc md5" in legs, legs
    assert {one["digests"][0]["value"] for one in record} == {series[0].sha256}


def test_an_association_of_the_pacs_reaches_the_modality_the_other_way(boxes: TwoBoxes) -> None:
    boxes.start()
    boxes.programs.append(peers.storescp(boxes.folder / "modality", boxes.plan_a.modality_port, ae="CT1"))
    series = datasets.generate(boxes.folder / "in", 2)
    done = peers.storescu(boxes.plan_b.peers[0].calls, *(one.path for one in series), calling="PACS", called="CT1")
    assert done.returncode == 0, done.stdout + boxes.log
    assert {one.sop_instance for one in series} <= set(datasets.samples(boxes.folder / "modality"))


def test_the_channel_is_loud_in_check_log_and_status_and_claims_nothing(boxes: TwoBoxes) -> None:
    boxes.start()
    boxes.a.wait_code("ISCL_IN_USE")
    for said in (boxes.a.check().stdout, boxes.a.status().stdout):
        assert "legacy ISCL-style channel, reconstruction profile R1" in said.lower().replace("iscl", "ISCL").replace(" r1", " R1")
        assert "unsafe_allow_des" in said and "message keys are made with the authentication key" in said
        assert "V1.00" not in said and "conforms" not in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"unsafe_allow_des": False}, "unsafe_allow_des = true"),
        ({"mac": "integrated"}, "aes-256-gcm"),
        ({"slot": 2}, "auth-2-c2s and auth-2-s2c"),
        ({"encryption": "aes-128-cbc"}, "extension"),
        ({"key_id": 3}, "enc-3-c2s"),
        ({"r1": {"master_to_server": 1}}, "enc-1 of 8 bytes"),
        ({"r1": {"master_to_server": 2, "master_to_client": 2}}, "another master key for each way"),
    ],
)
def test_check_refuses_what_cannot_or_must_not_be(folder: Path, pki: Pki, words: dict[str, object], expected: str) -> None:
    keys = key_file(folder)
    boxes = TwoBoxes(folder, pki, (keys, keys), **words)
    from support.gateway import Gateway

    done = Gateway(boxes.plan_a).check()
    assert done.returncode == 1 and expected in done.stdout, done.stdout


def test_check_refuses_equal_keys_and_a_key_file_that_others_may_read(folder: Path, pki: Pki) -> None:
    from support.gateway import Gateway

    keys = key_file(folder)
    keys.write_text("auth-1 0123456789abcdef\n")
    boxes = TwoBoxes(folder, pki, (keys, keys))
    assert "unsafe_allow_equal_keys" in Gateway(boxes.plan_a).check().stdout
    keys.chmod(0o644)
    assert "WG111" in Gateway(boxes.plan_a).check().stdout
