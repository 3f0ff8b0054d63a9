"""A clock that was set back: certificates are judged by the floor, and the status says so, whether the gateway runs or not."""

from __future__ import annotations

import pytest

from support import peers
from support.bench import Bench

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")
FAR = 4_000_000_000  # 2096: every certificate of the test PKI has expired then


@pytest.fixture
def floored(bench: Bench) -> Bench:
    """A box whose state was signed in 2096."""
    state = bench.folder / "state"
    (state / "floor").mkdir(parents=True)
    (state / "floor/signed").write_text(f"{FAR} 1\n")
    bench.plan.box = {"state": state}
    bench.plan.write()
    return bench


def test_a_certificate_that_expired_before_the_floor_is_refused(floored: Bench) -> None:
    floored.pacs()
    floored.start()
    assert floored.echo().returncode != 0
    floored.box.wait_code("CERTIFICATE_EXPIRED")


def test_without_a_floor_the_same_certificate_serves(bench: Bench) -> None:
    bench.pacs()
    bench.start()
    assert bench.echo().returncode == 0


@pytest.mark.parametrize("runs", [True, False])
def test_the_status_names_the_state_and_what_to_do(floored: Bench, runs: bool) -> None:
    floored.start()
    if not runs:
        floored.box.stop()
    told = floored.box.status().stdout
    line = next(line for line in told.splitlines() if line.startswith("STATE clock-below-floor"))
    assert "WG942" in line and "2096-10-02" in line and "signed state" in line and "-> set the clock" in line
