"""The kernel judges every rule set that the generator makes, in a network namespace of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.netns import can
from support.plantconfig import plant_config, router_config
from support.processes import run
from wardgate.plant.features import Features
from wardgate.plant.ruleset import Known, bridge_ruleset
from wardgate.plant.ruleset_router import router_ruleset

pytestmark = pytest.mark.skipif(can() is not None, reason=str(can()))
GOLDEN = Path(__file__).parents[1] / "vectors" / "plant"


@pytest.mark.parametrize("name", ["bridge", "vlan", "break-glass", "observe", "router"])
def test_the_kernel_takes_the_rule_set_twice_over(name: str) -> None:
    path = GOLDEN / f"{name}.nft"
    done = run(["unshare", "-n", "sh", "-c", f"nft -c -f {path} && nft -f {path} && nft -f {path} && nft list ruleset"])
    assert done.returncode == 0, done.stdout
    assert "policy drop" in done.stdout


def test_the_rule_set_with_broute_and_connection_tracking_is_for_the_qemu_test() -> None:
    """This kernel or this nft has neither: said here, not skipped. Where both are there the rule set must be taken."""
    from wardgate.plant.probe import probe

    features = probe()
    print(f"broute: {features.broute}, bridge connection tracking: {features.bridge_conntrack}")
    text = bridge_ruleset(plant_config(), features, Known())
    done = run(["unshare", "-n", "sh", "-c", f"nft -c -f - <<'X'\n{text}\nX"])
    assert done.returncode == 0, done.stdout
    assert ("meta broute" in text) == features.broute and ("ct state" in text) == features.bridge_conntrack


def test_a_rule_set_with_a_mistake_changes_nothing() -> None:
    text = bridge_ruleset(plant_config(), Features(), Known()) + "nonsense\n"
    script = f"nft -f {GOLDEN / 'bridge.nft'}; nft list ruleset | md5sum; nft -f - <<'X'\n{text}\nX\necho rc=$?; nft list ruleset | md5sum"
    done = run(["unshare", "-n", "sh", "-c", script])
    sums = [line for line in done.stdout.splitlines() if line.endswith(" -")]
    assert "rc=1" in done.stdout and len(sums) == 2 and sums[0] == sums[1]
    assert router_ruleset(router_config(), Features())
