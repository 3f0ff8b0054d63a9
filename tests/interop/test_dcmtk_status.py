"""SOP Instance Status between DCMTK peers: files with a claim, made by dcmodify, arrive with NS and the log knows both."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support import datasets, peers
from support.bench import Bench
from support.datasets import Sample, data_set
from support.gateway import tool
from support.ondisk import store_of
from support.processes import until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "dcmodify", "dcmconv", "dcmdump"), reason="DCMTK is not installed")

COMPANIONS = ("-i", "(0100,0420)=20261122010203", "-i", "(0100,0424)=fit for diagnosis", "-i", "(0100,0426)=C-17")


def with_status(source: Sample, path: Path, status: str, *more: str) -> Sample:
    """Return a copy of `source` with a status."""
    shutil.copy(source.path, path)
    done = peers.run(["dcmodify", "-nb", "-i", f"(0100,0410)={status}", *more, path])
    assert done.returncode == 0, done.stdout
    return datasets.sample(path)


def status_of(path: Path) -> list[str]:
    """Return the lines of group 0100 of a file, as dcmdump says them."""
    done = peers.run(["dcmdump", "-q", "+L", path])
    return [line.split("#")[0].strip() for line in done.stdout.splitlines() if line.startswith("(0100,")]


def signer(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate that has been valid since yesterday: dcmsign knows no time zones."""
    private = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), 1, now - timedelta(days=2), now + timedelta(days=2))
    key, chain = folder / "signer.key", folder / "signer.pem"
    form = serialization.PrivateFormat.TraditionalOpenSSL
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    chain.write_bytes(made.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return key, chain


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.plan.sop_instance_status = "rule-f"
    bench.pacs("+xa")
    bench.start()
    return bench


@pytest.mark.parametrize(("conversion", "option"), [("+te", "-xe"), ("+ti", "-xi"), ("+tb", "-xb")])
@pytest.mark.parametrize("status", ["OR", "AO", "AC"])
def test_a_claim_arrives_as_ns_and_every_other_byte_as_it_was(running: Bench, conversion: str, option: str, status: str) -> None:
    folder = running.folder
    plain = datasets.generate(folder / "in", 1)[0]
    assert peers.run(["dcmconv", conversion, "-g", plain.path, folder / "base.dcm"]).returncode == 0
    base = datasets.sample(folder / "base.dcm")
    claim = with_status(base, folder / "claim.dcm", status, *COMPANIONS)
    cleared = with_status(base, folder / "cleared.dcm", "NS")
    done = running.send([claim], "-R", option)
    assert done.returncode == 0, done.stdout + running.box.log
    arrived = datasets.samples(folder / "pacs")[claim.sop_instance]
    assert data_set(arrived.path.read_bytes()) == data_set(cleared.path.read_bytes())
    assert status_of(arrived.path) == ["(0100,0410) CS [NS]"]

    record = store_of(running.plan.log_dir, claim.sop_instance)
    assert record["digests"] == [
        {"alg": "sha256", "scope": "dataset", "value": claim.sha256},
        {"alg": "sha256", "scope": "dataset-sent", "value": arrived.sha256},
    ]
    assert "WG580" in running.box.codes()
    running.assert_log_verifies()
    for path in (claim.path, arrived.path):
        words = ("custody", "verify", running.plan.log_dir, "--key", running.box.public_key, "--dicom", path)
        until(lambda words=words: tool(*words).returncode == 0, f"identical: {tool(*words).stdout}")


def test_a_series_without_claims_arrives_byte_for_byte(running: Bench) -> None:
    series = datasets.generate(running.folder / "in", 6)
    done = running.send(series)
    assert done.returncode == 0, done.stdout + running.box.log
    running.assert_delivered(series)
    assert "WG580" not in running.box.codes()


def test_a_deflated_instance_is_refused_by_code_and_does_not_arrive(running: Bench) -> None:
    plain = datasets.generate(running.folder / "in", 1)[0]
    deflated = running.folder / "deflated.dcm"
    assert peers.run(["dcmconv", "+td", plain.path, deflated]).returncode == 0
    done = running.send([datasets.sample(deflated)], "-R", "-xd")
    assert done.returncode != 0
    running.box.wait_code("STATUS_TRANSFER_SYNTAX")
    assert not datasets.samples(running.folder / "pacs")
    running.assert_works()


@pytest.mark.skipif(not peers.have("dcmsign"), reason="DCMTK was built without dcmsign")
@pytest.mark.parametrize("covers", [True, False])
def test_a_signature_over_the_status_is_refused_and_another_one_passes(running: Bench, covers: bool) -> None:
    folder = running.folder
    claim = with_status(datasets.generate(folder / "in", 1)[0], folder / "claim.dcm", "AO")
    key, chain = signer(folder)
    tags = folder / "tags.txt"
    tags.write_text("(0008,0016)\n(0008,0018)\n" + ("(0100,0410)\n" if covers else ""))
    signed = folder / "signed.dcm"
    done = peers.run(["dcmsign", "+s", key, chain, "-tf", tags, claim.path, signed])
    if done.returncode != 0 or not signed.exists():
        pytest.skip(f"this dcmsign does not sign here: {done.stdout[-200:]}")
    sample = datasets.sample(signed)
    done = running.send([sample], "-R")
    if covers:
        assert done.returncode != 0
        running.box.wait_code("STATUS_SIGNED")
        until(lambda: sample.sop_instance not in datasets.samples(folder / "pacs"), "the PACS has removed what it had begun")
        assert store_of(running.plan.log_dir, sample.sop_instance)["outcome"] == "aborted"
    else:
        assert done.returncode == 0, done.stdout + running.box.log
        arrived = datasets.samples(folder / "pacs")[sample.sop_instance]
        assert status_of(arrived.path) == ["(0100,0410) CS [NS]"]
        checked = peers.run(["dcmsign", "--verify", "+cf", chain, arrived.path])
        assert checked.returncode == 0, checked.stdout
