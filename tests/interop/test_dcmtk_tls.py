"""The TLS profiles of DCMTK's own programs against the profiles of the box, as client and as server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support import peers
from support.bench import Bench

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")

NON_DOWNGRADING, BCP195, EXTENDED = "+py", "+px", "+pz"
RETIRED = {"extra": {"unsafe_allow_retired_profile": True}}


def _profile(bench: Bench, profile: str, **changes: object) -> None:
    bench.plan.peers = (replace(bench.peer, profile=profile, **changes),)  # type: ignore[arg-type]


@pytest.mark.parametrize("certificate", ["pacs-rsa", "pacs-ecdsa"])
@pytest.mark.parametrize("option", [NON_DOWNGRADING, BCP195, EXTENDED])
def test_b12_speaks_with_every_current_dcmtk_profile_both_ways(bench: Bench, option: str, certificate: str) -> None:
    bench.pacs(option, certificate=certificate)
    bench.modality()
    bench.start()
    bench.assert_works()
    done = bench.echo_back(option, certificate=certificate)
    assert done.returncode == 0, done.stdout + bench.box.log


def test_b13_speaks_with_the_extended_profile_both_ways(bench: Bench) -> None:
    _profile(bench, "B.13")
    bench.pacs(EXTENDED)
    bench.modality()
    bench.start()
    bench.assert_works()
    done = bench.echo_back(EXTENDED)
    assert done.returncode == 0, done.stdout + bench.box.log


@pytest.mark.parametrize(("profile", "option"), [("B.9", BCP195), ("B.10", NON_DOWNGRADING), ("B.11", EXTENDED)])
def test_a_retired_profile_speaks_with_its_dcmtk_namesake_when_allowed(bench: Bench, profile: str, option: str) -> None:
    _profile(bench, profile, **RETIRED)
    bench.pacs(option)
    bench.modality()
    bench.start()
    bench.assert_works()
    done = bench.echo_back(option)
    assert done.returncode == 0, done.stdout + bench.box.log


@pytest.mark.parametrize("profile", ["B.9", "B.1", "B.3"])
def test_check_refuses_a_profile_that_is_retired_or_not_offered(bench: Bench, profile: str) -> None:
    from support.gateway import Gateway

    _profile(bench, profile)
    done = Gateway(bench.plan).check()
    assert done.returncode != 0
    assert "WG" in done.stdout and profile in done.stdout, done.stdout


def test_the_retired_aes_profile_of_dcmtk_is_refused_by_b12(bench: Bench) -> None:
    bench.modality()
    bench.start()
    done = bench.echo_back("+pa")
    assert done.returncode != 0
    bench.box.wait_code("TLS_NO_COMMON_SUITE", "TLS_VERSION_MISMATCH", "TLS_FAILED")
    assert bench.echo_back().returncode == 0
