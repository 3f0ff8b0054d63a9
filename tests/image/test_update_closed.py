"""An update of a box whose vault is closed: it serves nobody, before and after. It stays in the new slot, unproven, and is marked good when
the vault is there and the gateway answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, boxwords, datasets, imagekit, qemubox, softtpm
from support.boxsite import Site
from support.qemubox import QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(2400)]

INSTALL = boxwords.as_account("wardgate", "wardgate update /run/stick/v2.0.0.raucb -c /etc/wardgate/wardgate.toml")
STATUS = "wardgate update status -c /etc/wardgate/wardgate.toml"


@dataclass
class Story:
    """What the box said after the install, after its restart without the vault, and with it."""

    standing: str = ""
    slots: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    loader: list[str] = field(default_factory=list)
    journal: str = ""
    kept: str = ""
    log: str = ""
    sent: int = -1


def look(box: QemuBox, story: Story) -> None:
    box.until("systemctl is-active -q wardgate-update", 900)
    story.slots.append(box.slot())
    story.status.append(box.ask(STATUS))
    story.loader.append(box.ask("head -c 80 /efi/grubenv | tr '\\n' ' '"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Story:
    """1.0.0 without a TPM, so without a vault; 2.0.0 is installed and started; then there is a TPM, and the vault is made."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("closed")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0")
    site = Site(folder, pki, trial=30, clear=False)
    disk = site.disk(first)
    stick = imagekit.stick(folder / "stick.img", [second.bundle])
    devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
    told = Story()
    site.open_pacs()
    try:
        with qemubox.powered(site.box(folder, disk, devices)) as box:
            box.wait_shell()
            box.until("wardgate state show | grep -q WG946")
            look(box, told)
            told.standing = box.run("wardgate state show")[1]
            box.ask("mkdir /run/stick && mount -o ro /dev/vdb /run/stick")
            box.ask(INSTALL, 1200)
            box.send("systemctl reboot --no-block")
            box.wait_shell()
            look(box, told)
            told.journal = box.run("journalctl -b --no-pager -o cat -u wardgate-update")[1]
            told.kept = box.run("cat /state/kept/*.json")[1]
            box.send("systemctl poweroff --no-block")
            box.wait_off()
        (folder / "later").mkdir()
        with (
            softtpm.tpm(folder / "chip") as chip,
            qemubox.powered(site.box(folder / "later", disk, (*devices, *softtpm.devices(chip)))) as box,
        ):
            box.wait_shell()
            box.until("ss -H -ltn | grep -q ':104 '")
            look(box, told)
            told.sent = site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode
            told.log = "\n".join(boxlog.pieces(box, r'"type":"(update|box)"[^}]*'))
    finally:
        site.close_pacs()
    return told


def test_an_update_while_nobody_is_served_is_not_rolled_back(story: Story) -> None:
    assert story.standing.startswith("vault-not-made: WG946")
    assert story.slots == ["A", "B", "B"]
    assert "B_OK=1 B_TRY=0" in story.loader[1], "the loader's tries must not run out"


def test_it_stays_unproven_and_says_so(story: Story) -> None:
    assert "WG921" in story.journal and "unproven: version 2.0.0 in slot B" in story.status[1]
    assert '"update-unproven"' in story.kept


def test_it_is_good_when_the_vault_is_there_and_the_gateway_answers(story: Story) -> None:
    assert story.sent == 0 and "unproven" not in story.status[2] and "B_OK=1 B_TRY=0" in story.loader[2]
    assert '"event":"update-installed"' in story.log and '"event":"update-unproven"' in story.log and '"event":"good"' in story.log
