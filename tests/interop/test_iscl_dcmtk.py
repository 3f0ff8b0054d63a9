"""DCMTK at both ends of two boxes joined by the legacy ISCL-style channel, and of one box between an ISCL peer and a TLS PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        {"nested": True},
    ],
    indirect=True,
    ids=["des-cbc-md5", "des-mac", "iscl-and-tls", "aes-gcm-extension", "iscl-in-tls"],
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
    until(lambda: "0 waiting" in here.status().stdout, "the queue is empty")
    boxes.assert_delivered(series)
    until(lambda: len(stores_of(here.plan.log_dir, series[0].sop_instance)) == 2, "taken and forwarded: both records are there")
    record = stores_of(here.plan.log_dir, series[0].sop_instance)
    legs = [one["requestor" if towards else "acceptor"]["tls"] for one in record]
    assert "ISCL-style R1 des-cbc md5" in legs, legs
    assert {one["digests"][0]["value"] for one in record} == {series[0].sha256}


@pytest.mark.parametrize("boxes", [{"nested": True}], indirect=True, ids=["iscl-in-tls"])
def test_inside_tls_the_record_names_both_layers_and_check_says_so(boxes: TwoBoxes) -> None:
    boxes.start()
    series = datasets.generate(boxes.folder / "in", 1)
    assert boxes.send(series).returncode == 0, boxes.log
    for plan, leg in ((boxes.plan_a, "requestor"), (boxes.plan_b, "acceptor")):
        said = store_of(plan.log_dir, series[0].sop_instance)[leg]
        assert said["tls"] == "ISCL-style R1 in TLSv1.3 TLS_AES_256_GCM_SHA384: des-cbc md5"
        assert len(said["certificate"]) == 64, "the certificate of TLS"
    assert "reconstruction profile R1 (des-cbc, md5) inside TLS B.12" in boxes.a.check().stdout


@pytest.mark.parametrize("boxes", [{"nested": True}], indirect=True, ids=["iscl-in-tls"])
@pytest.mark.parametrize(
    ("box", "words", "code"),
    [
        ("a", {"names": ("somebody.test",)}, "CERTIFICATE_WRONG_NAME"),
        ("b", {"names": ("somebody.test",)}, "CERTIFICATE_WRONG_NAME"),
        ("a", {"certificates": "pacs-other-ca"}, "CHAIN_UNTRUSTED"),
        ("a", {"keys": "1032547698badcfe"}, "ISCL_AUTHENTICATION_FAILURE"),
    ],
    ids=["server-name", "client-name", "client-ca", "iscl-key"],
)
def test_inside_tls_either_layer_refuses_by_its_own_code(boxes: TwoBoxes, box: str, words: dict[str, Any], code: str) -> None:
    pki, where = boxes.pki, boxes.b if code == "CHAIN_UNTRUSTED" or box == "b" else boxes.a
    if "keys" in words:
        other = key_file(boxes.folder / "a")
        other.write_text(f"auth-1-c2s {words['keys']}\nauth-1-s2c fedcba9876543210\n")
        boxes.middle.iscl["keys"] = other
    elif "certificates" in words:
        boxes.middle.certificates = ((pki.leaf(words["certificates"]).chain, pki.leaf(words["certificates"]).key),)
    elif box == "a":
        boxes.middle.names = words["names"]
    else:
        assert boxes.plan_b.modality_tls is not None
        boxes.plan_b.modality_tls.names = words["names"]
    boxes.start()
    assert boxes.echo().returncode != 0
    where.wait_code(code)


@pytest.mark.parametrize("boxes", [{}, {"nested": True}], indirect=True, ids=["iscl", "iscl-in-tls"])
def test_an_association_of_the_pacs_reaches_the_modality_the_other_way(boxes: TwoBoxes) -> None:
    boxes.start()
    boxes.programs.append(peers.storescp(boxes.folder / "modality", boxes.plan_a.modality_port, ae="CT1"))
    series = datasets.generate(boxes.folder / "in", 2)
    done = peers.storescu(boxes.plan_b.peers[0].calls, *(one.path for one in series), calling="PACS", called="CT1")
    assert done.returncode == 0, done.stdout + boxes.log
    assert {one.sop_instance for one in series} <= set(datasets.samples(boxes.folder / "modality"))


@pytest.mark.parametrize("boxes", [{"nested": True}], indirect=True, ids=["iscl-in-tls"])
def test_inside_tls_the_certificate_serves_no_other_ae_title(boxes: TwoBoxes) -> None:
    boxes.middle.ae_titles = ("PACS", "ARCHIVE")
    boxes.plan_b.peers[0].ae_titles = ("PACS", "ARCHIVE", "STRANGER")  # box B lets it through, box A's party has no such title
    boxes.start()
    boxes.programs.append(peers.storescp(boxes.folder / "modality", boxes.plan_a.modality_port, ae="CT1"))
    assert peers.echoscu(boxes.plan_b.peers[0].calls, calling="ARCHIVE", called="CT1").returncode == 0, boxes.log
    done = peers.echoscu(boxes.plan_b.peers[0].calls, calling="STRANGER", called="CT1")
    assert done.returncode != 0 and "Calling AE Title Not Recognized" in done.stdout, done.stdout + boxes.log
    boxes.a.wait_code("CALLING_AE_REFUSED")


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
