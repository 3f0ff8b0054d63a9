"""Runs the main job: a modality's images reach a PACS over mutual TLS, under custody. Exit status 0: all is as it must be."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from demo import files
from demo.needs import dcmtk
from demo.report import Report
from support import certs, datasets, peers
from support.config import Plan
from support.datasets import Sample
from support.gateway import Gateway, tool
from support.ondisk import stores
from support.processes import until
from wardtools.pki import Pki, make_test_pki

MODALITY, PACS = "CT1", "PACS"


def main() -> int:
    """Run the demo and return the exit status."""
    report = Report()
    if reason := dcmtk():
        report.check(False, reason)
        return report.verdict()
    with tempfile.TemporaryDirectory(prefix="wg-demo-") as name:
        try:
            _demo(Path(name), report)
        except AssertionError as error:
            report.check(False, str(error))
    return report.verdict()


def _demo(folder: Path, report: Report) -> None:
    report.step("A test PKI, a PACS (DCMTK storescp, TLS, client certificate required) and a modality (DCMTK, plain)")
    pki = make_test_pki(folder / "pki", defects=False)
    plan = Plan(folder, (certs.pacs_plan(pki),), certs.custody_key(pki))
    groups, back = files.to_hospital(folder / "sent"), files.to_modality(folder / "sent")
    pacs = peers.storescp(folder / "pacs", plan.peers[0].port, ae=PACS, tls=certs.dcmtk(pki, "pacs-rsa"))
    modality = peers.storescp(folder / "modality", plan.modality_port, ae=MODALITY)
    box = Gateway(plan)
    try:
        done = box.check()
        report.check(done.returncode == 0, "wardgate check: " + Path((done.stdout.strip().splitlines() or ["nothing said"])[-1]).name)
        box.start()
        report.note(f"modality --plain--> 127.0.0.1:{plan.listen} [wardgate] --mutual TLS--> PACS 127.0.0.1:{plan.peers[0].port}")
        _send(plan, pki, groups, back, folder, report)
        _custody(box, [sample for group in (*groups, back) for sample in group.samples], report)
        report.step("wardgate status")
        done = box.status()
        report.check(done.returncode == 0, "the box answers")
        report.quote(done.stdout)
    except AssertionError:
        report.quote(box.log[-3000:])
        raise
    finally:
        box.stop()
        pacs.stop()
        modality.stop()


def _send(plan: Plan, pki: Pki, groups: list[files.Group], back: files.Group, folder: Path, report: Report) -> None:
    report.step("Through the box to the hospital")
    done = peers.echoscu(plan.listen, calling=MODALITY, called=PACS)
    report.check(done.returncode == 0, "C-ECHO modality -> PACS", done.stdout)
    for group in groups:
        paths = [sample.path for sample in group.samples]
        send = peers.dcmsend if group.program == "dcmsend" else peers.storescu
        done = send(plan.listen, *group.options, *paths, calling=MODALITY, called=PACS)
        report.check(done.returncode == 0, f"C-STORE {len(paths)} {group.title} ({group.program})", done.stdout)
    _compare(groups, folder / "pacs", report)

    report.step("Through the box to the modality (the PACS opens the association)")
    tls = certs.dcmtk(pki, "pacs-rsa")
    port = plan.peers[0].calls
    done = peers.echoscu(port, calling=PACS, called=MODALITY, tls=tls)
    report.check(done.returncode == 0, "C-ECHO PACS -> modality", done.stdout)
    done = peers.storescu(port, *back.options, *(sample.path for sample in back.samples), calling=PACS, called=MODALITY, tls=tls)
    report.check(done.returncode == 0, f"C-STORE {len(back.samples)} {back.title} ({back.program})", done.stdout)
    _compare([back], folder / "modality", report)


def _compare(groups: list[files.Group], received: Path, report: Report) -> None:
    """Compare what was sent with what arrived, byte for byte, and print one row a SOP class and transfer syntax."""
    arrived = datasets.samples(received)
    rows: dict[tuple[str, str], list[tuple[Sample, bool]]] = {}
    for group in groups:
        for sent in group.samples:
            got = arrived.get(sent.sop_instance)
            same = got is not None and datasets.data_set(got.path.read_bytes()) == datasets.data_set(sent.path.read_bytes())
            rows.setdefault((sent.sop_class, sent.transfer_syntax), []).append((sent, same))
    report.table(rows)
    bad = [sent.path.name for row in rows.values() for sent, same in row if not same]
    total = sum(len(row) for row in rows.values())
    report.check(not bad, f"{total - len(bad)} of {total} data sets arrived byte for byte" + "".join(f"; not {name}" for name in bad))


def _custody(box: Gateway, sent: list[Sample], report: Report) -> None:
    log, key = box.plan.log_dir, box.public_key
    report.step("The custody log")
    records = stores(log)
    digests = {record["sop_instance"]: record["digests"] for record in records}
    right = [one for one in sent if any(digest["value"] == one.sha256 for digest in digests.get(one.sop_instance, ()))]
    report.check(len(right) == len(sent), f"{len(right)} of {len(sent)} records carry the SHA-256 of the file that was sent")
    hospital = records[0]["requestor"]
    report.note(f"{hospital['ae_title']} was reached under {hospital['tls']}, certificate {hospital['certificate'][:16]}...")
    # Each record was durable before its response passed; a signed checkpoint follows within the second configured here.
    until(lambda: _all_signed(log), "a checkpoint covers the log", 15)
    shown = tool("custody", "show", log)
    report.check(shown.returncode == 0, "wardtool custody show", shown.stdout)
    report.quote(shown.stdout, 6)
    done = tool("custody", "verify", log, "--key", key)
    report.check(done.returncode == 0, "wardtool custody verify", done.stdout)
    report.quote(done.stdout, 8)
    proof = box.plan.folder / "one.proof"
    done = tool("custody", "prove", log, "--key", key, "--instance", sent[0].sop_instance)
    proof.write_text(done.stdout)
    report.check(done.returncode == 0, f"wardtool custody prove: {sent[0].path.name}, {len(done.stdout)} bytes", done.stdout)
    done = tool("custody", "check-proof", proof, "--key", key, "--dicom", sent[0].path)
    report.check(done.returncode == 0, "wardtool custody check-proof: the file is the one recorded, without the log", done.stdout)


def _all_signed(log: Path) -> bool:
    found = re.search(r"(\d+) records durable, (\d+) signed", tool("custody", "show", log, "--last", "1").stdout)
    return found is not None and found[1] == found[2]


if __name__ == "__main__":
    sys.exit(main())
