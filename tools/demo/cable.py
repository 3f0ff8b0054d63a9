"""Shows the box in the cable: a packet capture on either side, and a diagram of what was seen. Exit status 0: all is as it must be.

Everything happens in network namespaces that end with it. The captures are kept in `build/cable/`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from demo.needs import dcmtk
from demo.report import Report
from support import datasets
from support.netns import Namespace, can
from support.plant import BACK, CLEAR, ENVIRONMENT, MODALITY, PACS, STORE, TLS, Plant, frames
from support.processes import Program, until
from wardgate.plant.features import lines
from wardgate.plant.probe import probe
from wardtools.pki import make_test_pki

KEEP = Path("build/cable")
CONTEXT_NAME = b"1.2.840.10008.3.1.1.1"  # DICOM application context, in every A-ASSOCIATE-RQ (PS3.7 A.2.1)


def main() -> int:
    """Run it and return the exit status."""
    report = Report()
    if reason := can() or dcmtk():
        report.check(False, reason)
        return report.verdict()
    report.step("What this kernel has")
    report.quote("\n".join(lines(probe())))
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        plant = Plant(Path(name), make_test_pki(Path(name) / "pki", defects=False))
        try:
            _demo(plant, report)
        except AssertionError as error:
            report.check(False, str(error)[:2000])
        finally:
            plant.close()
    return report.verdict()


def _demo(plant: Plant, report: Report) -> None:
    report.step("The plant: modality - [box] - switch - PACS, and an intruder at the switch. Neither end knows of the box")
    plant.settings.tables.append(f'[plant.break_glass]\nallow = true\nacts = ["command"]\nminutes = 5\naddresses = ["{PACS}:{CLEAR}"]\n')
    plant.start_pacs()
    plant.start_modality()
    plant.start()
    addresses = plant.box.do("ip", "-br", "addr").split()
    report.check(not [word for word in addresses if word.startswith("10.")], "the box has no address in the plant")
    report.note("netd holds CAP_NET_ADMIN and CAP_NET_RAW; the gateway holds no capability")

    report.step("C-ECHO from the modality to the PACS, captured on either side of the box")
    inside, outside = Capture(plant.modality, "inside"), Capture(plant.pacs, "outside")
    report.check(plant.echo().returncode == 0, f"modality -> {PACS}:{CLEAR}")
    there = _diagram(report, inside.stop(), outside.stop(), (CLEAR, TLS), "modality", "PACS")
    inside, outside = Capture(plant.modality, "inside-back"), Capture(plant.pacs, "outside-back")
    report.step("C-ECHO from the PACS to the modality")
    report.check(plant.back().returncode == 0, f"PACS -> {MODALITY}:{BACK}")
    back = _diagram(report, inside.stop(), outside.stop(), (STORE, BACK), "modality", "PACS")
    report.check(there and back, "the same addresses and ports and the same MACs on both sides, clear inside, TLS outside")

    report.step("A study, alone and under a flood of 5,000 SYNs from the hospital side")
    alone = _study(plant, report, 1)
    words = [sys.executable, "-m", "support.forge", "eth0", "syns", "10.77.0.99", MODALITY, str(STORE), plant.modality.mac(), "5000"]
    program = plant.intruder.start(words, plant.folder / "flood.log", ENVIRONMENT)
    flooded = _study(plant, report, 2)
    program.stop()
    report.note(f"{alone:.1f} images/s alone, {flooded:.1f} under the flood: {100 * flooded / alone:.0f} %")
    report.check(plant.counters()["refused_hospital"] > 100, f"{plant.counters()['refused_hospital']} frames of strangers refused")

    report.step("Break-glass: the gateway is dead, patients wait")
    assert plant.gateway is not None
    plant.stop(plant.gateway)
    plant.start_pacs_in_clear()
    report.check(plant.echo().returncode != 0, "without the gateway nothing passes")
    done = plant.ask("break-glass", "start", "-c", str(plant.config), "gateway", "dead")
    report.quote(done.stdout)
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS in clear")
    report.check(True, "the modality reaches the address named for it, in clear")
    report.quote(plant.ask("break-glass", "end", "-c", str(plant.config)).stdout)
    report.check(plant.echo().returncode != 0, "and no more when it has ended")
    report.step("wardgate plant status")
    report.quote(plant.ask("plant", "status", "-c", str(plant.config)).stdout)
    report.note(f"captures: {KEEP}/*.pcap")


class Capture:
    """A capture of one station's TCP, as file and as text."""

    def __init__(self, place: Namespace, name: str) -> None:
        KEEP.mkdir(parents=True, exist_ok=True)
        self.path = (KEEP / f"{name}.pcap").absolute()
        self.path.unlink(missing_ok=True)
        self._place = place
        self._program: Program = place.start(
            ["tcpdump", "-Z", "root", "-n", "-U", "--immediate-mode", "-i", "eth0", "-w", str(self.path), "tcp"], KEEP / f"{name}.log"
        )
        until(lambda: "listening on" in self._program.log, "tcpdump listens")

    def stop(self) -> tuple[list[dict[str, str]], bytes]:
        """End it; return its frames and all bytes."""
        until(self._ended, "the capture has the end of the association")
        self._program.stop()
        return frames(self._read()), self.path.read_bytes()

    def _read(self) -> str:
        return self._place.run("tcpdump", "-e", "-n", "-r", str(self.path)).stdout

    def _ended(self) -> bool:
        text = self._read()
        return "Flags [F" in text or "Flags [R" in text


def _diagram(report: Report, inside: tuple[list[dict[str, str]], bytes], outside: tuple[list[dict[str, str]], bytes],
             ports: tuple[int, int], one: str, other: str) -> bool:  # fmt: skip
    """Print what was seen on either side; return whether addresses and MACs are the same and only the inside is readable."""
    first = [next(f for f in side if f["to"].endswith(f".{port}")) for (side, _), port in zip((inside, outside), ports, strict=True)]
    clear, hidden = CONTEXT_NAME in inside[1], CONTEXT_NAME not in outside[1]
    report.note(
        f"  {one:9}  --- {'readable DICOM' if clear else 'NOT READABLE'} ---  [box]  --- {'TLS' if hidden else 'READABLE!'} ---  {other}"
    )
    for frame, where in zip(first, ("inside", "outside"), strict=True):
        report.note(f"  {where:8} {frame['from']:>18} > {frame['to']:<18} {frame['from_mac']} > {frame['to_mac']}")
    same = [(f["from"], f["to"].rpartition(".")[0], f["from_mac"], f["to_mac"]) for f in first]
    stations = {f["from_mac"] for f in inside[0] + outside[0]}
    return same[0] == same[1] and clear and hidden and len(stations) == 2


def _study(plant: Plant, report: Report, number: int) -> float:
    """Send a study; return images a second."""
    files = [sample.path for sample in datasets.generate(plant.folder / f"sent{number}", 100, study=number)]
    began = time.monotonic()
    done = plant.store(*files)
    seconds = time.monotonic() - began
    report.check(done.returncode == 0, f"{len(files)} images stored", done.stdout)
    return len(files) / seconds


if __name__ == "__main__":
    sys.exit(main())
