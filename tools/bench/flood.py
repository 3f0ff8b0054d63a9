"""What is left of a study's speed under a SYN flood from the hospital side: `python -m bench.flood [small|ct]`.

DCMTK stores a study through the box in the cable, in turn
- alone,
- beside the same sender sending the same frames elsewhere: to a station at the switch that is not behind the box,
- while 5,000 SYNs a second come to the box for as long as the study moves: half of them in a stranger's name to the modality's own port
  (refused), half in the PACS's name to the port that the box takes.

Sender, switch, PACS, modality and box share this machine's processors. So there are two figures: flooded over alone, raw, and flooded over
elsewhere, which leaves out what sender and switch take and is what the box itself loses.

Two figures need no quiet machine: the processor time an image, of everybody together, and the processor time of senders, `netd` and gateway
while nothing but the flood goes on. A virtual cable hands its frame on in the time of whoever sent it: what the box's kernel does with
a SYN is the sender's time here.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.process import cpu_seconds
from support import datasets
from support.netns import Namespace, can, wire
from support.plant import BACK, ENVIRONMENT, MODALITY, PACS, STORE, Plant
from support.processes import Program, until
from wardtools.pki import make_test_pki

STRANGER = "10.77.0.99"
EACH = 2500  # a second, from each of the two senders
WARM_SECONDS = 0.5  # the interpreter's start, and the frames made beforehand, are not the flood


class Beside(StrEnum):
    """What goes on beside the study."""

    NOTHING = "alone"
    ELSEWHERE = "flood elsewhere"
    BOX = "flood to the box"


class Took(NamedTuple):
    """One study: images a second; processor seconds an image, of everybody; frames a second that the box refused."""

    speed: float
    processor: float
    refused: float


class Study(NamedTuple):
    """What is stored in each round."""

    title: str
    rows: int  # of the image; two bytes a pixel
    images: int
    rounds: int


STUDIES = {"small": Study("128 KiB images", 256, 600, 7), "ct": Study("CT, 512 KiB images", 512, 300, 7)}


class Bench:
    """A running plant, and a station at its switch that the box has nothing to do with."""

    def __init__(self, folder: Path) -> None:
        (folder / "plant").mkdir()
        self.plant = Plant(folder / "plant", make_test_pki(folder / "pki", defects=False))
        self.elsewhere = Namespace("elsewhere")
        wire(self.plant.switch, "p4", self.elsewhere, "eth0")
        self.elsewhere.do("ip", "link", "set", "eth0", "up")
        self.plant.switch.do("ip", "link", "set", "p4", "master", "sw", "up")
        plant = self.plant
        for place in (plant.modality, plant.box, plant.pacs):
            place.do("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")  # a default of bbr paces even veth
        plant.start_pacs()
        plant.start()
        # The switch knows where the station is: else it would send what is for it to the box too.
        plant.switch.do("bridge", "fdb", "replace", self.elsewhere.mac(), "dev", "p4", "master", "static")

    def target(self, beside: Beside) -> str:
        """Return the MAC address that the flood goes to, "" for none."""
        return {Beside.NOTHING: "", Beside.ELSEWHERE: self.elsewhere.mac(), Beside.BOX: self.plant.modality.mac()}[beside]

    def close(self) -> None:
        """End all of it."""
        self.plant.close()
        self.elsewhere.close()

    def study(self, files: list[Path], flood: str = "") -> Took:
        """Store the study, beside a flood to the MAC address `flood` if one is given."""
        plant = self.plant
        senders = self._flood(flood) if flood else []
        programs = [program.pid for program in (*senders, *plant.programs)]
        refused, used, began = self._refused(), _used(programs), time.monotonic()
        done = plant.store(*files)
        seconds = time.monotonic() - began
        took = Took(len(files) / seconds, (_used(programs) - used) / len(files), (self._refused() - refused) / seconds)
        for program in senders:
            program.stop()
        if done.returncode:
            raise AssertionError(done.stdout[-2000:] + plant.log[-2000:])
        return took

    def cost(self, mac: str, seconds: float = 8.0) -> float:
        """Return the processor seconds a second of the flood to `mac`, with nothing else going on."""
        assert self.plant.netd is not None and self.plant.gateway is not None
        senders = self._flood(mac)
        programs = [program.pid for program in (*senders, self.plant.netd, self.plant.gateway)]
        before, began = _used(programs), time.monotonic()
        time.sleep(seconds)
        cost = (_used(programs) - before) / (time.monotonic() - began)
        for program in senders:
            program.stop()
        return cost

    def _refused(self) -> int:
        counters = self.plant.counters()
        return sum(counters.get(name, 0) for name in ("refused_hospital", "flood_hospital"))

    def _flood(self, mac: str) -> list[Program]:
        """Start both senders; they go on until they are stopped."""
        plant, programs = self.plant, []
        for name, source, port in (("stranger", STRANGER, STORE), ("pacs", PACS, BACK)):
            words = ["syns", source, MODALITY, str(port), mac, str(EACH * 600), str(EACH)]
            argv = [sys.executable, "-m", "support.forge", "eth0", *words]
            programs.append(plant.intruder.start(argv, plant.folder / f"flood-{name}.log", ENVIRONMENT))
        time.sleep(WARM_SECONDS)
        return programs


def _used(pids: list[int]) -> float:
    """Processor seconds of these and their children, and of what this process ran to its end (DCMTK as the modality)."""
    return sum(map(cpu_seconds, pids)) + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def measure(bench: Bench, folder: Path, study: Study) -> None:
    """Print each round and the medians."""
    files = [sample.path for sample in datasets.generate(folder, study.images, rows=study.rows)]
    bench.study(files)  # addresses are learned, files are in memory
    found: list[dict[Beside, Took]] = []
    sys.stdout.write(f"{study.title}: images/s (processor ms an image) {', '.join(Beside)}\n")
    for number in range(study.rounds):
        order = [*Beside][number % 3 :] + [*Beside][: number % 3]
        found.append({beside: bench.study(files, bench.target(beside)) for beside in order})
        row = "   ".join(f"{found[-1][beside].speed:6.1f} ({1e3 * found[-1][beside].processor:5.2f})" for beside in Beside)
        sys.stdout.write(f"  round {number + 1}: {row}; {found[-1][Beside.BOX].refused:.0f} frames a second refused\n")
        sys.stdout.flush()
    for base, what in ((Beside.ELSEWHERE, "what the box keeps"), (Beside.NOTHING, "raw")):
        ratios = [took[Beside.BOX].speed / took[base].speed for took in found]
        cost = median(took[Beside.BOX].processor / took[base].processor for took in found)
        spread = f"median {100 * median(ratios):.0f} %, {100 * min(ratios):.0f} to {100 * max(ratios):.0f} %"
        sys.stdout.write(f"  flood to the box / {base} ({what}): {spread}; processor an image {100 * cost:.0f} %\n")


def main() -> int:
    """Measure what is asked for, by default both studies."""
    asked = sys.argv[1:] or list(STUDIES)
    if can() is not None or not set(asked) <= set(STUDIES):
        sys.stderr.write(f"{can() or 'usage: bench.flood [small] [ct]'}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        folder = Path(name)
        bench = Bench(folder)
        try:
            until(lambda: bench.plant.echo().returncode == 0, "addresses are learned")
            elsewhere, box = (median(bench.cost(bench.target(to)) for _ in range(3)) for to in (Beside.ELSEWHERE, Beside.BOX))
            sys.stdout.write(f"the flood alone, of one processor: {100 * elsewhere:.1f} % elsewhere, {100 * box:.1f} % to the box\n")
            for word in asked:
                measure(bench, folder / word, STUDIES[word])
        finally:
            bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
