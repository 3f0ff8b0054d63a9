"""SOP Instance Status on a link that holds (PS3.15 A.1.1 a to f): originals made, authorized, transferred, kept as copies; never lost."""

from __future__ import annotations

import json
import struct

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from pydicom import dcmread
from pydicom.dataset import Dataset

from support import certs, datasets, held, netdicom
from support.bench import MODALITY, PACS, Bench
from support.commitpacs import CommitPacs
from support.datasets import Sample, data_set
from support.gateway import ROOT, WARDGATE, tool
from support.ondisk import records, store_of
from support.person import Person
from support.processes import run, until

SYNTAXES = (*held.SYNTAXES, "1.2.840.10008.1.2.1.99")
ENV = {"PYTHONPATH": f"{ROOT}/firmware:{ROOT}/hsm:{ROOT}/tools"}


def plan(bench: Bench, creating: bool = True, **words: object) -> None:
    bench.plan.delivery = "hold"
    bench.plan.sop_instance_status = "holder"
    bench.peer.hold_transfer_syntaxes = SYNTAXES
    bench.peer.commitment = "destination"
    bench.peer.words = {"sop_instance_status": "conforms", "after_transfer": words.pop("after", "delete")}
    bench.plan.link = {"creating_entity": creating, **({"equipment_certification": "CERT-17"} if creating else {}), **words}


def pacs_of(bench: Bench) -> CommitPacs:
    return CommitPacs(bench.peer.port, bench.peer.calls, tls=certs.dcmtk(bench.pki, "pacs-rsa"))


def send(bench: Bench, samples: list[Sample]) -> None:
    done = bench.send(samples, "-R")
    assert done.returncode == 0, done.stdout + bench.box.log


def group(sent: bytes, arrived: bytes) -> dict[int, bytes]:
    """Return the elements of group 0100 that stand in `arrived` and not in `sent`; every other byte is the same (explicit VR)."""
    start = next((at for at in range(min(len(sent), len(arrived))) if sent[at] != arrived[at]), len(sent))
    more = len(arrived) - len(sent)
    for begin in range(start, max(start - 8, -1), -1):  # where the two begin to differ may lie some bytes behind where they part
        if struct.unpack_from("<H", arrived, begin)[0] == 0x0100 and sent[begin:] == arrived[begin + more :]:
            found, at = {}, begin
            while at < begin + more:
                of, element, _vr, length = struct.unpack_from("<HH2sH", arrived, at)
                assert of == 0x0100
                found[element] = arrived[at + 8 : at + 8 + length].rstrip(b" ")
                at += 8 + length
            return found
    raise AssertionError("other bytes than those of group 0100 differ")


def changes(bench: Bench, uid: str) -> list[tuple[str, str, str]]:
    found = [one for one in records(bench.plan.log_dir) if one["type"] == "sop-instance-status" and one["sop_instance"] == uid]
    return [(one["event"], one["before"], one["after"]) for one in sorted(found, key=lambda one: str(one["time"]))]


def quarantined(bench: Bench) -> str:
    return "\n".join(line for line in bench.box.hold("list").stdout.splitlines() if "quarantine" in line)


def name_of(bench: Bench, uid: str) -> str:
    return next(line.split()[0] for line in bench.box.hold("list").stdout.splitlines() if f" {uid} " in line)


def test_an_original_is_made_transferred_and_deleted_only_when_the_other_holder_has_committed_it(bench: Bench) -> None:
    plan(bench)
    with pacs_of(bench) as pacs:
        pacs.hold_back = True
        bench.start()
        (image,) = datasets.generate(bench.folder / "in", 1, 64)
        send(bench, [image])
        until(lambda: pacs.requests, f"the PACS was asked\n{bench.box.log[-3000:]}")
        found = group(data_set(image.path.read_bytes()), pacs.bytes[image.sop_instance][0])
        assert (found.pop(0x0410), found.pop(0x0426)) == (b"OR", b"CERT-17")
        assert found.pop(0x0420).endswith(b"+0000") and not found
        digests = {one["scope"] for one in store_of(bench.plan.log_dir, image.sop_instance)["digests"]}
        assert digests == {"dataset", "dataset-sent"}
        bench.assert_recorded(image)
        assert image.sop_instance in bench.box.hold("list").stdout, "the box is the holder until it is committed"
        assert pacs.report(pacs.requests[0]) == 0
        until(lambda: image.sop_instance not in bench.box.hold("list").stdout, "it is deleted")
    assert changes(bench, image.sop_instance) == [("transferred", "OR", "OR_PENDING"), ("committed", "OR_PENDING", "NONE")]
    shown = tool("custody", "show", bench.plan.log_dir, image.sop_instance).stdout
    assert "has committed the original" in shown and "Committed: PACS reported to the box" in shown
    bench.assert_log_verifies()


def test_a_person_authorizes_with_a_signature_and_the_box_keeps_a_copy_that_leaves_as_copy(bench: Bench) -> None:
    person = Person()
    plan(bench, originals_wait=True, authorizers=(person.fingerprint,), after="AC")
    with pacs_of(bench) as pacs:
        bench.start()
        image, other = datasets.generate(bench.folder / "in", 2, 64)
        send(bench, [image, other])
        until(lambda: quarantined(bench).count("waits for authorization") == 2, "both wait")
        refused = bench.box.hold("release", "--yes", name_of(bench, image.sop_instance))
        assert refused.returncode == 1 and "never deletes it" in refused.stdout
        config = bench.box.config
        command = (*WARDGATE, "custody", "authorize", "-c", config)
        statement, signed = bench.folder / "statement", bench.folder / "signed"
        done = run((*command, "--statement", statement, "--comment", "seen", image.sop_instance), env=ENV)
        assert done.returncode == 0, done.stdout
        assert f"instance {image.sop_instance} sha256 {image.sha256}" in statement.read_text()
        signed.write_text(json.dumps(Person().signs(statement.read_text())))
        assert run((*command, "--signed", signed), env=ENV).returncode == 1, "another person"
        signed.write_text(json.dumps(person.signs(statement.read_text().replace(image.sop_instance, other.sop_instance))))
        assert run((*command, "--signed", signed), env=ENV).returncode == 1, "another statement"
        assert not pacs.stored
        signed.write_text(json.dumps(person.signs(statement.read_text())))
        done = run((*command, "--signed", signed), env=ENV)
        assert done.returncode == 0, done.stdout + bench.box.log
        assert run((*command, "--signed", signed), env=ENV).returncode == 1, "a statement counts once"
        until(lambda: "copy kept" in quarantined(bench), f"a copy is kept\n{bench.box.log[-3000:]}")
        found = group(data_set(image.path.read_bytes()), pacs.bytes[image.sop_instance][0])
        assert (found[0x0410], found[0x0424], found[0x0426]) == (b"AO", b"seen", b"CERT-17")
        assert changes(bench, image.sop_instance) == [
            ("authorized", "OR", "AO"), ("transferred", "AO", "AO_PENDING"), ("committed", "AO_PENDING", "AC"),
        ]  # fmt: skip
        name = name_of(bench, image.sop_instance)
        assert bench.box.hold("retry", name).returncode == 0
        until(lambda: len(pacs.bytes[image.sop_instance]) == 2, "the copy left")
        assert group(data_set(image.path.read_bytes()), pacs.bytes[image.sop_instance][1])[0x0410] == b"AC"
    assert other.sop_instance not in pacs.stored
    assert "Authorized for diagnostic use" in tool("custody", "show", bench.plan.log_dir, image.sop_instance).stdout


def test_a_transfer_that_is_not_committed_leaves_the_box_the_holder_and_may_be_done_again(bench: Bench) -> None:
    plan(bench)
    with pacs_of(bench) as pacs:
        bench.start()
        (image,) = datasets.generate(bench.folder / "in", 1, 64)
        pacs.failed = {image.sop_instance: 0x0110}
        send(bench, [image])
        until(lambda: "not committed" in quarantined(bench), f"it is set aside\n{bench.box.log[-3000:]}")
        name = name_of(bench, image.sop_instance)
        assert bench.box.hold("release", "--yes", name).returncode == 1
        pacs.failed = {}
        assert bench.box.hold("retry", name).returncode == 0
        until(lambda: image.sop_instance not in bench.box.hold("list").stdout, "it is deleted")
    assert changes(bench, image.sop_instance) == [
        ("transferred", "OR", "OR_PENDING"), ("not committed", "OR_PENDING", "OR"),
        ("transferred", "OR", "OR_PENDING"), ("committed", "OR_PENDING", "NONE"),
    ]  # fmt: skip


def test_without_a_creating_entity_a_claim_of_the_modality_leaves_as_ns_and_nothing_else_is_touched(bench: Bench) -> None:
    plan(bench, creating=False)
    with pacs_of(bench) as pacs:
        bench.start()
        plain, claims = datasets.generate(bench.folder / "in", 2, 64)
        told = dcmread(claims.path)
        told.SOPInstanceStatus, told.SOPAuthorizationComment = "AO", "fit"
        told.save_as(claims.path)
        claims = datasets.sample(claims.path)
        send(bench, [plain, claims])
        held.wait_empty(bench)
    assert pacs.bytes[plain.sop_instance] == [data_set(plain.path.read_bytes())]
    arrived = dcmread_bytes(pacs.bytes[claims.sop_instance][0])
    assert arrived.SOPInstanceStatus == "NS" and "SOPAuthorizationComment" not in arrived
    assert not changes(bench, claims.sop_instance)


def test_what_must_not_be_edited_is_set_aside_by_its_code_before_a_byte_has_left(bench: Bench) -> None:
    plan(bench)
    with pacs_of(bench) as pacs:
        bench.start()
        good, signed, deflated = datasets.generate(bench.folder / "in", 3, 64)
        sealed = dcmread(signed.path)
        mac = Dataset()
        mac.MACIDNumber, mac.MACAlgorithm = 1, "SHA256"
        mac.MACCalculationTransferSyntaxUID, mac.DataElementsSigned = "1.2.840.10008.1.2.1", [0x01000410]
        sealed.MACParametersSequence = [mac]
        sealed.save_as(signed.path)
        squeezed = dcmread(deflated.path)
        squeezed.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        squeezed.save_as(deflated.path)
        images = [datasets.sample(one.path) for one in (good, signed, deflated)]
        send(bench, images[:2])
        done = bench.send(images[2:], "-xd")
        assert done.returncode == 0, done.stdout + bench.box.log
        until(lambda: len(quarantined(bench).splitlines()) == 2, f"two are set aside\n{bench.box.log[-3000:]}")
        until(lambda: pacs.stored, "the other one left")
    assert set(pacs.stored) == {good.sop_instance}
    shown = quarantined(bench)
    assert "WG582" in shown and "WG581" in shown


def test_an_original_that_a_conforming_modality_transfers_goes_on_only_after_the_modality_heard_that_the_box_has_it(bench: Bench) -> None:
    plan(bench, creating=False)
    bench.plan.modality_tls = certs.pacs_plan(bench.pki)
    bench.plan.modality = {"sop_instance_status": "conforms"}
    files = certs.dcmtk(bench.pki, "pacs-rsa")
    with pacs_of(bench) as pacs:
        bench.start()
        image, copy = datasets.generate(bench.folder / "in", 2, 64)
        for one, status in ((image, "AO"), (copy, "AC")):
            told = dcmread(one.path)
            told.SOPInstanceStatus, told.SOPAuthorizationDateTime = status, "20261129200000+0000"
            told.save_as(one.path)
        images = [datasets.sample(one.path) for one in (image, copy)]
        sop_class = images[0].sop_class
        with netdicom.associate(bench.plan.listen, MODALITY, PACS, sop_class, tls=files) as association:
            assert [netdicom.store_as_is(association, one) for one in images] == [0, 0], bench.box.log
        until(lambda: "waits until its sender has heard" in quarantined(bench), f"it waits\n{bench.box.log[-3000:]}")
        until(lambda: pacs.stored == [copy.sop_instance], "a copy needs no confirmation")
        answer = netdicom.request_commitment(bench.plan.listen, images[:1], MODALITY, PACS, stays=True, tls=files)
        assert answer.status == 0 and answer.report is not None and answer.report.event_type == 1, bench.box.log
        until(lambda: image.sop_instance not in bench.box.hold("list").stdout, f"it went on\n{bench.box.log[-3000:]}")
    for one in images:
        assert pacs.bytes[one.sop_instance] == [data_set(one.path.read_bytes())], "as it came, claim and all"
    assert changes(bench, image.sop_instance) == [
        ("taken over", "RECEIVED_AO", "AO"), ("transferred", "AO", "AO_PENDING"), ("committed", "AO_PENDING", "NONE"),
    ]  # fmt: skip


def dcmread_bytes(data: bytes) -> Dataset:
    from io import BytesIO

    from pydicom.filereader import read_dataset

    return read_dataset(BytesIO(data), False, True)
