"""The cable under a distribution's kernel, in emulation: `meta broute`, bridge connection tracking, VLANs, real carriers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import guest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
MODULES = ("tests/interop/test_cable_bridge.py", "tests/interop/test_cable_kernel.py")
ELSEWHERE = "tests/interop/test_cable_kernel.py::test_jumbo_frames_pass_and_are_used_on_both_legs[0]"  # needs nothing of the kernel


@pytest.fixture(scope="module")
def report() -> Iterator[guest.Report]:
    """What the tests of the cable said in the guest, run once."""
    if os.environ.get("WARDGATE_NO_GUEST"):
        pytest.skip("WARDGATE_NO_GUEST is set: five minutes of emulation, more on a busy machine")
    if reason := guest.missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        yield guest.run(Path(name), "-s", f"--deselect={ELSEWHERE}", *MODULES)


def test_the_guests_kernel_has_all_that_the_plant_can_use(report: guest.Report) -> None:
    """Printed first by the guest, as on every kernel."""
    told = {words[0]: words[1] for line in report.console if len(words := line.split()) == 2 and words[1] in ("yes", "NO")}
    assert told.items() >= {"broute": "yes", "bridge_conntrack": "yes", "vlan_devices": "yes", "tproxy": "yes"}.items(), told


def test_every_test_of_the_cable_passes_there_and_none_is_skipped(report: guest.Report) -> None:
    wrong = {name: said for name, said in report.outcomes.items() if said != "passed"}
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())
    for module in MODULES:
        stem = Path(module).stem
        assert any(name.startswith(f"{stem}::") for name in report.outcomes), f"{stem} did not run"
