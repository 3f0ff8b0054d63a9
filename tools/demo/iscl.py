"""`make demo-iscl`: modality, Wardgate, legacy ISCL-style channel, a second Wardgate, PACS; the keys of the boxes on two cards.

Real pcscd with virtual readers, the card in software with its ISCL application, the key service, DCMTK at both ends. Everything else runs
on the loopback address in a folder of its own, which is removed at the end. Exit status 0: all is as it must be.
"""

from __future__ import annotations

import sys
from pathlib import Path

from demo.cards import on_cards
from demo.needs import dcmtk
from demo.report import Report
from support import datasets
from support.gateway import tool
from support.isclboxes import TwoBoxes
from support.isclcards import MASTERS, NAMES, URIS, TwoCards
from support.ondisk import store_of
from support.pcscd import Pcscd, missing
from support.processes import until
from wardtools.pki import make_test_pki

_COUNT = 8


def main() -> int:
    """Run the demo and return the exit status."""
    report = Report()
    if reason := missing() or dcmtk():
        report.check(False, f"a private pcscd and DCMTK can run here ({reason})")
        return report.verdict()
    on_cards(report, _demo)
    report.note("Legacy ISCL-style channel, reconstruction profile R1: no claim of conformance, no independent peer tried (docs/iscl.md)")
    return report.verdict()


def _demo(folder: Path, pcscd: Pcscd, report: Report) -> None:
    report.step("Two cards, each with an authentication key either way and a master key of message keys either way; no key can be read")
    (folder / "cards").mkdir()
    (folder / "pki").mkdir()
    cards = TwoCards(folder / "cards", pcscd).start()
    boxes = TwoBoxes(folder, make_test_pki(folder / "pki", defects=False), (URIS[0], URIS[1]), key_socket=cards.service.socket, r1=MASTERS)
    try:
        listed = tool("card", "list", "--reader", cards.slots[0].name).stdout
        report.quote(listed)
        report.check("ISCL  ward-a" in listed, "wardtool card list: the card of box A")
        boxes.start()
        report.note("modality --plain--> [box A, card ward-a] --ISCL, des-cbc and md5--> [box B, card ward-b] --plain--> PACS")
        checked = boxes.a.check()
        report.check(checked.returncode == 0, "wardgate check: no mistake", checked.stdout)
        report.quote("\n".join(line for line in checked.stdout.splitlines() if "ISCL" in line or "unsafe" in line))
        status = boxes.a.status().stdout
        report.check(f"token {NAMES[0]}: present" in status and "iscl.keys in a file" not in status, "its keys are on the card", status)
        _study(boxes, report)
        _pull(boxes, cards, report)
        _logs(boxes, report)
    except AssertionError:
        report.quote(boxes.log[-3000:])
        raise
    finally:
        boxes.close()
        cards.close()


def _study(boxes: TwoBoxes, report: Report) -> None:
    report.step("A study over the channel")
    series = datasets.generate(boxes.folder / "in", _COUNT)
    done = boxes.send(series)
    report.check(done.returncode == 0, f"C-STORE of {_COUNT} images (storescu)", done.stdout)
    boxes.assert_delivered(series)
    report.check(True, f"{_COUNT} of {_COUNT} data sets arrived byte for byte")
    for plan, leg in ((boxes.plan_a, "requestor"), (boxes.plan_b, "acceptor")):
        said = store_of(plan.log_dir, series[0].sop_instance)[leg]["tls"]
        report.check(said == "ISCL-style R1 des-cbc md5", f"custody record of box {plan.folder.name}: {said}")


def _pull(boxes: TwoBoxes, cards: TwoCards, report: Report) -> None:
    report.step("The card of box A is pulled and returned")
    cards.slots[0].remove()
    boxes.a.wait_code("TOKEN_IS_ABSENT")
    done = boxes.echo()
    report.check(done.returncode != 0 and "Temporary Congestion" in done.stdout, "the modality is rejected: transient", done.stdout)
    report.quote("\n".join(line for line in boxes.a.status().stdout.splitlines() if line.startswith("REFUSED")))
    cards.slots[0].insert()
    until(lambda: boxes.echo().returncode == 0, "the modality is served", 30)
    report.check(True, "returned: the modality is served")


def _logs(boxes: TwoBoxes, report: Report) -> None:
    report.step("The custody logs")
    for box in (boxes.a, boxes.b):
        box.stop()
        verified = tool("custody", "verify", box.plan.log_dir, "--key", box.public_key)
        last = verified.stdout.strip().splitlines()[-1:]
        report.check(verified.returncode == 0, f"box {box.plan.folder.name}: {' '.join(last)}", verified.stdout)


if __name__ == "__main__":
    sys.exit(main())
