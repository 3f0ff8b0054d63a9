"""What is left of a study's speed under a SYN flood from the hospital side: `python -m bench.flood`.

DCMTK stores a study through the box in the cable, alone and while 5,000 SYNs a second come in for as long as it moves: half of them in a
stranger's name to the modality's own port (refused), half in the PACS's name to the port that the box takes (SYN cookies answer). Five
rounds, alone and flooded in turn, on one running plant. Everything shares this machine's processors, the sender of the flood too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from support import datasets
from support.netns import can
from support.plant import BACK, ENVIRONMENT, MODALITY, PACS, STORE, Plant
from support.processes import Program
from wardtools.pki import make_test_pki

ROUNDS, IMAGES = 5, 200
STRANGER = "10.77.0.99"
EACH = 2500  # a second, from each of the two senders


def main() -> int:
    """Measure and print each round and the median."""
    if can() is not None:
        sys.stderr.write(f"{can()}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        folder = Path(name)
        pki = make_test_pki(folder / "pki", defects=False)
        (folder / "plant").mkdir()
        plant = Plant(folder / "plant", pki)
        try:
            plant.start_pacs()
            plant.start()
            files = [sample.path for sample in datasets.generate(folder / "sent", IMAGES, rows=256)]
            study(plant, files)  # addresses are learned, files are in memory
            ratios = []
            for number in range(1, ROUNDS + 1):
                alone = study(plant, files)
                before, floods = plant.counters(), flood(plant)
                began = time.monotonic()
                flooded = study(plant, files)
                seconds = time.monotonic() - began
                for program in floods:
                    program.stop()
                after = plant.counters()
                came = sum(after[counter] - before[counter] for counter in ("refused_hospital", "dicom_hospital"))
                ratios.append(flooded / alone)
                sys.stdout.write(f"round {number}: {alone:6.1f} images/s alone, {flooded:6.1f} flooded, {100 * ratios[-1]:4.0f} %")
                sys.stdout.write(f"; {came / seconds:.0f} frames a second from the hospital side, those of the study among them\n")
            sys.stdout.write(f"median {100 * median(ratios):.0f} %, lowest {100 * min(ratios):.0f} %\n")
        finally:
            plant.close()
    return 0


def study(plant: Plant, files: list[Path]) -> float:
    """Store the study; return images a second."""
    began = time.monotonic()
    done = plant.store(*files)
    if done.returncode:
        raise AssertionError(done.stdout[-2000:] + plant.log[-2000:])
    return len(files) / (time.monotonic() - began)


def flood(plant: Plant) -> list[Program]:
    """Start both senders; they go on until they are stopped."""
    programs = []
    for name, source, port in (("stranger", STRANGER, STORE), ("pacs", PACS, BACK)):
        words = ["syns", source, MODALITY, str(port), plant.modality.mac(), str(EACH * 600), str(EACH)]
        argv = [sys.executable, "-m", "support.forge", "eth0", *words]
        programs.append(plant.intruder.start(argv, plant.folder / f"flood-{name}.log", ENVIRONMENT))
        plant.programs.append(programs[-1])
    time.sleep(0.3)  # the interpreter's start is not the flood
    return programs


if __name__ == "__main__":
    sys.exit(main())
