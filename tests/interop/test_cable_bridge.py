"""The box in the cable, seen by DCMTK at either end, which knows of no box. Network namespaces are the plant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import Namespace, can
from support.peers import have
from support.plant import Plant
from support.processes import Program, until
from wardtools.pki import Pki

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]


@pytest.fixture(scope="module")
def plant(pki: Pki) -> Iterator[Plant]:
    """A plant that runs, with both DCMTK ends; first of all it says what this kernel lacks."""
    from wardgate.plant.features import lines
    from wardgate.plant.probe import probe

    print("\n".join(lines(probe())))
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        made = Plant(Path(name), pki)
        try:
            made.settings.tables.append('[[plant.allow]]\nname = "dns"\nservice = "dns"\naddresses = ["10.77.0.20"]\n')
            made.start_pacs()
            made.start_modality()
            made.start()
            yield made
        finally:
            made.close()


def _dump(place: Namespace, log: Path, what: str = "tcp") -> Program:
    program = place.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", "eth0", what], log)
    until(lambda: "listening on" in program.log, "tcpdump listens")
    return program


def test_the_modality_stores_in_the_pacs_and_neither_knows_of_the_box(plant: Plant) -> None:
    done = plant.echo()
    assert done.returncode == 0, done.stdout + plant.log
