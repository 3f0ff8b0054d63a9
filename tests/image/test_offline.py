"""Offline: no PACS, no DNS, no time. The box comes up, refuses or holds as its policy says, and shows why."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["relay", "hold"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> tuple[str, dict[str, str]]:
    """A box whose PACS is not there: what the modality and the box say."""
    imagekit.need_tools()
    folder: Path = tmp_path_factory.mktemp("offline")
    image = imagekit.build("1.0.0")
    site = Site(folder, pki, holds=request.param == "hold")
    disk = site.disk(image)
    with qemubox.powered(site.box(folder, disk)) as box:
        box.wait_shell()
        box.until("ss -H -ltn | grep -q ':104 '")
        sent = site.store(*datasets.generate(folder / "study", 1, rows=64))
        said = {"sent": sent.stdout, "status": str(sent.returncode)}
        said["failed"] = box.run("systemctl --failed --plain --no-legend")[1].strip()
        said["journal"] = box.run("journalctl -b --no-pager -o cat -u wardgate")[1]
        said["queue"] = box.run("wardgate hold list -c /etc/wardgate/wardgate.toml")[1]
        said["shown"] = box.run("wardgate status -c /etc/wardgate/wardgate.toml")[1]
    return request.param, said


def test_the_box_comes_up_without_anybody(told: tuple[str, dict[str, str]]) -> None:
    assert told[1]["failed"] == ""


def test_it_refuses_or_holds_as_policy_says_and_shows_why(told: tuple[str, dict[str, str]]) -> None:
    delivery, said = told
    if delivery == "hold":
        assert said["status"] == "0", said["sent"]
        assert "waits" in said["queue"] and "1 file" in said["queue"]
        assert "1 waiting" in said["shown"]
    else:
        assert said["status"] != "0"
        assert "WG2" in said["journal"] and "pacs" in said["journal"]
