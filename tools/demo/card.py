"""`make demo-card`: the main job with all keys on a (virtual) card, which is pulled and returned in mid-study.

Real pcscd, OpenSC, key service and DCMTK peers. Exit status 0: all is as it must be.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from demo.cards import on_cards
from demo.needs import dcmtk
from demo.report import Report
from demo.run import MODALITY, PACS
from support import datasets
from support.card import CardFile, Slot
from support.cardbench import CardBench, token_records
from support.gateway import tool
from support.pcscd import Pcscd, missing
from support.processes import LOOPBACK, until
from wardtools.pki import make_test_pki

LONG, SHORT = 400, 6  # images: the first association must still run when the card is gone


def main() -> int:
    """Run the demo and return the exit status."""
    report = Report()
    if reason := missing() or dcmtk():
        report.check(False, f"a private pcscd and DCMTK can run here ({reason})")
        return report.verdict()
    on_cards(report, _demo)
    return report.verdict()


def _demo(folder: Path, pcscd: Pcscd, report: Report) -> None:
    report.step("A card: keys made on it (RSA 2048 for TLS, P-256 for the custody log), certificates issued for them")
    slot = Slot(pcscd, CardFile(folder / "card", label="ward-ct1"))
    bench = CardBench(folder, make_test_pki(folder / "pki", defects=False), slot)
    try:
        report.note(f"reader {slot.name}; {bench.plan.peers[0].certificates[0][1]}")
        bench.pacs()
        bench.modality()
        bench.start()
        status = bench.box.status().stdout
        report.check(
            "token TEST ONLY box-card-9a: present" in status and "UNSAFE" not in status, "wardgate status: no key in a file", status
        )
        _study(bench, report)
        _after(bench, report)
    except AssertionError:
        report.quote(bench.box.log[-3000:])
        raise
    finally:
        bench.close()


def _study(bench: CardBench, report: Report) -> None:
    report.step("A study; the card is pulled while its first association runs")
    series = datasets.generate(bench.folder / "series", LONG + SHORT)
    first, second = series[:LONG], series[LONG:]
    words = ["storescu", "-v", "-aet", MODALITY, "-aec", PACS, LOOPBACK, str(bench.plan.listen), *(str(one.path) for one in first)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sending:
        until(lambda: "WG421" in bench.box.codes(), "the association runs", 30)
        bench.pull()
        report.check(sending.poll() is None, "the card is out and the box knows, the association still runs")
        told, _ = sending.communicate(timeout=120)
        report.check(sending.returncode == 0, f"the running association finished: {len(first)} images", told)
    done = bench.send(second)
    report.check(
        done.returncode != 0 and "Temporary Congestion" in done.stdout, "a new one is rejected: transient, congestion", done.stdout
    )
    report.check(bench.echo_back().returncode != 0, "the PACS is closed before the handshake")
    loud = [line for line in bench.box.status().stdout.splitlines() if line.startswith(("REFUSED", "UNSIGNED"))]
    report.quote("\n".join(loud))

    report.step("The card is returned")
    began = time.monotonic()
    slot = bench.slot
    slot.card = bench.first
    slot.insert()
    until(lambda: bench.echo().returncode == 0, "the modality is served", 30)
    report.note(f"served {time.monotonic() - began:.1f} s after the insertion")
    done = bench.send(second)
    report.check(done.returncode == 0, f"the rest of the study: {len(second)} images", done.stdout)
    report.check(bench.echo_back().returncode == 0, "the PACS is served again")
    bench.assert_delivered(series)
    report.check(True, f"{len(series)} data sets arrived byte for byte and have their records")


def _after(bench: CardBench, report: Report) -> None:
    report.step("The custody log")
    until(lambda: "signing-resumed" in token_records(bench.plan.log_dir), "the log is signed again", 30)
    bench.assert_log_verifies()
    shown = tool("custody", "show", bench.plan.log_dir).stdout
    report.quote("\n".join(line for line in shown.splitlines() if " token " in line))
    done = tool("custody", "verify", bench.plan.log_dir, "--key", bench.box.public_key)
    report.check(done.returncode == 0, "wardtool custody verify: signed by the card, ECDSA P-256", done.stdout)
    report.quote(done.stdout, 8)


if __name__ == "__main__":
    sys.exit(main())
