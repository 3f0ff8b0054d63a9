"""A state that is not what was signed, and none at all: the box is in a named state, opens no port, starts no gateway.

That a signed one serves is in `test_smoke`; every tested image trusts one key, and every tested box has a state that was signed by it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support import imagekit, qemubox
from support.boxsite import Site
from support.qemubox import QemuBox, place_of
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

POLICY = "wardgate/wardgate.toml"
LOOKS = {
    "standing": "wardgate state show",
    "status": "wardgate status -c /etc/wardgate/wardgate.toml 2>&1",
    "sockets": "ss -H -lntu",
    "units": "systemctl is-active wardgate wardgate-custody wardkeys wardgate-ports wardgate-vault | tr '\\n' ' '",
    "rules": "nft list table inet box",
    "kept": "cat /state/kept/*.json",
    "network": "journalctl -b --no-pager -o cat -u systemd-networkd.service | grep -c 'Dependency failed'",
}


def looks(box: QemuBox) -> dict[str, str]:
    """Wait until the box has done what it can at a start; look at it."""
    box.wait_shell()
    box.until("systemctl is-active -q multi-user.target")
    return {name: box.run(command)[1].strip() for name, command in LOOKS.items()}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> dict[str, dict[str, str]]:
    """One byte of the signed policy is another; then the partition is blank, as on a box that was flashed and no more."""
    imagekit.need_tools()
    folder: Path = tmp_path_factory.mktemp("state")
    site = Site(folder, pki)
    site.altered[POLICY] = str(site.files[POLICY]).replace('name = "ward-test"', 'name = "ward-tesT"')
    assert site.altered[POLICY] != site.files[POLICY]
    disk = site.disk(imagekit.build("1.0.0"))
    made = {}
    with qemubox.powered(site.box(folder, disk)) as box:
        made["altered"] = looks(box)
    offset, size = place_of("state")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -z {offset} {size}", str(disk)], check=True, timeout=60, capture_output=True)
    with qemubox.powered(site.box(folder, disk)) as box:
        made["blank"] = looks(box)
    return made


def test_a_policy_with_one_other_byte_is_refused_by_name(said: dict[str, dict[str, str]]) -> None:
    altered = said["altered"]
    assert "state-refused: WG938" in altered["standing"] and "WG933" in altered["standing"], altered["standing"]
    assert f"{POLICY} changed" in altered["standing"]
    assert "STATE state-refused" in altered["status"]


def test_what_was_refused_is_kept_for_the_log(said: dict[str, dict[str, str]]) -> None:
    assert '"state-refused"' in said["altered"]["kept"] and "WG933" in said["altered"]["kept"]


def test_a_box_without_a_state_says_so(said: dict[str, dict[str, str]]) -> None:
    blank = said["blank"]
    assert blank["standing"].startswith("state-missing: WG928") and len(blank["standing"].splitlines()) == 1, blank["standing"]
    assert "STATE state-missing" in blank["status"]


def test_a_state_that_is_not_there_is_not_asked_for_again_and_again(said: dict[str, dict[str, str]]) -> None:
    """The socket of networkd asked for its service, and that for the mount, more than once a second."""
    assert said["blank"]["network"] == "1" and said["altered"]["network"] == "0"


@pytest.mark.parametrize("start", ["altered", "blank"])
def test_no_port_is_open_and_no_gateway_runs(said: dict[str, dict[str, str]], start: str) -> None:
    assert said[start]["sockets"] == ""
    assert "active" not in said[start]["units"].split(), said[start]["units"]
    assert said[start]["rules"].count("policy drop") == 2 and "dport" not in said[start]["rules"]
