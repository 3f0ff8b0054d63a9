"""Offline: no PACS, no DNS, no time server. The box comes up, refuses or holds as each link's policy says, and shows why.

Its vault is the product's: LUKS2, made at this start and opened by the TPM; what is held lies in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox, softtpm
from support.boxsite import Site
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

COMMAND = "wardgate {} -c /etc/wardgate/wardgate.toml"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> dict[str, str]:
    """A box whose PACS is not there: what its two modalities and the box say."""
    imagekit.need_tools()
    folder: Path = tmp_path_factory.mktemp("offline")
    with softtpm.tpm(folder / "chip") as chip:
        return starts(folder, pki, softtpm.devices(chip))


def starts(folder: Path, pki: Pki, devices: tuple[str, ...]) -> dict[str, str]:
    """Start it; return what is said."""
    site = Site(folder, pki, holds=True, clear=False)
    with qemubox.powered(site.box(folder, site.disk(imagekit.build("1.0.0")), devices)) as box:
        box.wait_shell()
        box.until("ss -H -ltn | grep -q ':105 '")
        sample = datasets.generate(folder / "study", 1, rows=64)
        relayed, held = site.store(*sample), site.store(*sample, modality=2)
        box.until("journalctl -b --no-pager -o cat -u wardgate | grep -q WG414", 300)
        return {
            "relayed": f"{relayed.returncode} {relayed.stdout}",
            "held": f"{held.returncode} {held.stdout}",
            "failed": box.run("systemctl --failed --plain --no-legend")[1].strip(),
            "journal": box.run("journalctl -b --no-pager -o cat -u wardgate")[1],
            "queue": box.run(COMMAND.format("hold list"))[1],
            "shown": box.run(COMMAND.format("status"))[1],
            "mount": box.run("findmnt -rno SOURCE,FSTYPE /vault")[1].strip(),
            "mapped": box.run("cryptsetup status vault")[1],
            "header": box.run("cryptsetup luksDump /dev/disk/by-partlabel/vault")[1],
            "vault": box.run("journalctl -b --no-pager -o cat -u wardgate-vault")[1],
        }


def test_the_box_comes_up_without_anybody(said: dict[str, str]) -> None:
    assert said["failed"] == ""


def test_a_link_that_relays_refuses_and_says_why(said: dict[str, str]) -> None:
    assert not said["relayed"].startswith("0 "), said["relayed"]
    assert "WG414" in said["journal"] and "link=ct1" in said["journal"], said["journal"]


def test_a_link_that_holds_takes_it(said: dict[str, str]) -> None:
    # dcmsend's own exit status is 0 also when the box answered A700
    assert "Received C-STORE Response (Success)" in said["held"], f"{said['held']}\n{said['journal']}"


def test_what_is_held_is_shown(said: dict[str, str]) -> None:
    assert "waits" in said["queue"] and "1 file" in said["queue"], said["queue"]
    assert "1 waiting" in said["shown"], said["shown"]


def test_the_vault_is_encrypted_and_its_tpm_has_opened_it(said: dict[str, str]) -> None:
    assert said["mount"] == "/dev/mapper/vault ext4", said["vault"]
    assert "type:    LUKS2" in said["mapped"] and "cipher:  aes-xts-plain64" in said["mapped"], said["mapped"]
    assert "systemd-tpm2" in said["header"] and "Version:       \t2" in said["header"], said["header"]
    assert "WG948" in said["vault"] and "WG949" in said["vault"] and "open by tpm2" in said["vault"], said["vault"]
