"""Memory of boxes joined by the legacy ISCL-style channel: what passes is never kept whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.gateway import Gateway
from support.isclboxes import TwoBoxes, key_file
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu"), reason="DCMTK is not installed")
SMALL_ROWS, LARGE_ROWS = 1500, 4700  # 4.5 and 44 MB
MAX_GROWTH_KIB = 4096


def _peaks(box: Gateway) -> list[int]:
    """The most that each worker had resident so far, KiB."""
    lines = [line for pid in box.workers() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]


@pytest.fixture
def boxes(folder: Path, pki: Pki, request: pytest.FixtureRequest) -> Iterator[TwoBoxes]:
    made = TwoBoxes(folder, pki, (key_file(folder), key_file(folder)), **request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    "boxes",
    [{}, {"r1": {"message_unit": "write"}, "nested": True}],
    indirect=True,
    ids=["iscl", "iscl-in-tls"],
)
def test_an_instance_ten_times_as_long_takes_no_more_memory(boxes: TwoBoxes) -> None:
    boxes.start()
    peaks = []
    for rows in (SMALL_ROWS, LARGE_ROWS):
        done = boxes.send(datasets.generate(boxes.folder / f"in{rows}", 1, rows))
        assert done.returncode == 0, done.stdout + boxes.log
        peaks.append([peak for box in boxes.boxes for peak in _peaks(box)])
    small, large = peaks
    print(f"workers' peak, KiB: {small} after 4.5 MB, {large} after 44 MB")
    assert all(after <= before + MAX_GROWTH_KIB for before, after in zip(small, large, strict=True)), peaks
