"""The firewall of the image: the base rule set, and what the policy opens in it, taken by a real kernel in a namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.config import PeerPlan, Plan
from support.units import OVERLAY, TREE
from wardgate.policy.loader import load_config
from wardgate.ports import commands, rules, unnamed

BASE = OVERLAY / "usr/share/wardgate/firewall.nft"


def _config(folder: Path, **words: object) -> Path:
    peer = PeerPlan(transport="plain", port=11112, calls=2762, addresses=("198.51.100.5",))
    return Plan(folder, (peer,), folder / "log.pem", **words).write()  # type: ignore[arg-type]


def _nft(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a network namespace of its own; skipped where that or nft is not to be had."""
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed (apt-get install nftables)")
    probe = subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True, text=True, timeout=30, check=False)
    if probe.returncode:
        pytest.skip(f"no network namespace or no nf_tables here: {probe.stderr.strip()[:100]}")
    return subprocess.run(["unshare", "-n", "sh", "-ec", script], capture_output=True, text=True, timeout=60, check=False)


def test_the_base_lets_nothing_in_and_forwards_nothing() -> None:
    done = _nft(f"nft -f {BASE}; nft -j list table inet box")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["nftables"]
    policies = {one["chain"]["name"]: one["chain"]["policy"] for one in listed if "policy" in one.get("chain", {})}
    assert policies == {"input": "drop", "forward": "drop"}
    assert not any(one["rule"]["chain"] == "served" for one in listed if "rule" in one)


def test_the_policy_opens_what_it_names_twice_over(folder: Path) -> None:
    path = _config(folder, modality_addresses=("192.0.2.0/24",), listen=104)
    text = commands(load_config(path, files=False))
    (folder / "open.nft").write_text(text)
    done = _nft(f"nft -f {BASE}; nft -f {folder}/open.nft; nft -f {folder}/open.nft; nft list chain inet box served")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accept") == 2
    assert "ip saddr 192.0.2.0/24 ip daddr 127.0.0.1 tcp dport 104 accept" in done.stdout
    assert "ip saddr 198.51.100.5 ip daddr 127.0.0.1 tcp dport 2762 accept" in done.stdout


def test_the_base_loaded_again_keeps_each_rule_once_and_what_the_policy_opened(folder: Path) -> None:
    path = _config(folder, modality_addresses=("192.0.2.0/24",), listen=104)
    (folder / "open.nft").write_text(commands(load_config(path, files=False)))
    listing = "nft list table inet box"
    done = _nft(f"nft -f {BASE}; nft -f {folder}/open.nft; {listing}; echo again; nft -f {BASE}; {listing}")
    assert done.returncode == 0, done.stderr
    once, again = done.stdout.split("again\n")
    assert once == again
    assert "tcp dport 104 accept" in again
    assert "delete table" not in BASE.read_text()


def test_overlapping_callers_are_no_mistake(folder: Path) -> None:
    path = _config(folder, modality_addresses=("192.0.2.0/24", "192.0.2.10"), listen=104)
    (folder / "open.nft").write_text(commands(load_config(path, files=False)))
    done = _nft(f"nft -f {BASE}; nft -f {folder}/open.nft; nft list chain inet box served")
    assert done.returncode == 0, done.stderr


def test_a_listening_host_that_is_a_name_stays_closed_and_is_told(folder: Path) -> None:
    path = _config(folder, listen=104)
    path.write_text(path.read_text().replace('"127.0.0.1:104"', '"localhost:104"'))
    config = load_config(path, files=False)
    assert unnamed(config) == ["localhost:104"]
    assert len(rules(config)) == 1


def test_a_policy_with_a_mistake_opens_nothing(folder: Path) -> None:
    path = _config(folder, listen=104)
    path.write_text(path.read_text().replace('directions = ["to-hospital"', 'directions = ["everywhere"'))
    argv = [sys.executable, "-P", "-m", "wardgate.ports", "-c", str(path), "--print"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": str(TREE / "firmware")})
    assert done.returncode == 1
    assert done.stdout == ""
    assert "directions" in done.stderr
