"""Updates from a USB stick, plugged into a box that runs: whose label is another is not looked into, what must be refused is, the rest is
installed and started without anybody, once."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, datasets, imagekit, qemubox
from support.boxsite import Site
from support.qemubox import QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

LABEL = "WARDUPDATE"
UNITS = "systemctl list-units --all --plain --no-legend 'wardgate-stick@*'"
JOURNAL = "journalctl -b --no-pager -o cat -u 'wardgate-stick@*'"


@dataclass
class Story:
    """What the box said after each stick."""

    other_label: str = ""
    flipped: str = ""
    slots: list[str] = field(default_factory=list)
    again: str = ""
    log: str = ""
    sent: int = -1


def vfat(path: Path, label: str, bundle: Path) -> Path:
    """Return the image of a stick as Windows makes it: vfat, `update.raucb` on it."""
    with path.open("wb") as file:
        file.truncate(bundle.stat().st_size + (96 << 20))  # FAT32 has 65525 clusters at least
    subprocess.run(["mkfs.vfat", "-F", "32", "-n", label, str(path)], check=True, timeout=60, capture_output=True)
    subprocess.run(["mcopy", "-i", str(path), str(bundle), "::update.raucb"], check=True, timeout=60)
    return path


def plug(box: QemuBox, name: str, image: Path) -> None:
    box.monitor(f"drive_add 0 if=none,id={name},format=raw,readonly=on,file={image}", f"device_add usb-storage,id=usb-{name},drive={name}")
    box.until("ls /dev/sd?", 60)


def pull(box: QemuBox, name: str) -> None:
    box.monitor(f"device_del usb-{name}")
    box.until("! ls /dev/sd* 2>/dev/null", 60)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Story:
    """1.0.0 is given a stick with another label, one with a damaged bundle, and one with 2.0.0, which stays in."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("stick")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0")
    sticks = {
        "other": vfat(folder / "other.img", "HOLIDAYS", second.bundle),
        "flipped": vfat(folder / "flipped.img", LABEL, Path(__file__).parent / "bundles/flipped.raucb"),
        "good": vfat(folder / "good.img", LABEL, second.bundle),
    }
    site = Site(folder, pki, trial=60)
    told = Story()
    site.open_pacs()
    try:
        with qemubox.powered(site.box(folder, site.disk(first), ("-device", "qemu-xhci"))) as box:
            box.wait_shell()
            box.in_service()
            plug(box, "other", sticks["other"])
            box.ask("udevadm settle; sleep 5")
            told.other_label = box.run(UNITS)[1].strip()
            pull(box, "other")
            plug(box, "flipped", sticks["flipped"])
            box.until(f"{JOURNAL} | grep -q WG900", 120)
            box.until(f"{UNITS} | grep -q failed", 120)  # it ends a moment after its last word
            told.flipped = box.run(f"{UNITS}; {JOURNAL}")[1].strip()
            told.slots.append(box.slot())
            pull(box, "flipped")
            plug(box, "good", sticks["good"])
            box.wait_shell(900)  # it was installed and the box started again
            box.in_service()
            told.slots.append(box.slot())
            box.until(f"{JOURNAL} | grep -q WG917", 120)
            told.again = box.run(f"{JOURNAL}; wardgate update status -c /etc/wardgate/wardgate.toml; head -c 80 /efi/grubenv")[1]
            told.log = "\n".join(boxlog.pieces(box, r'"type":"update"[^}]*'))
            told.sent = site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode
    finally:
        site.close_pacs()
    return told


def test_a_stick_with_another_label_is_not_looked_into(story: Story) -> None:
    assert story.other_label == ""


def test_a_damaged_bundle_is_refused_and_the_box_stays_as_it_is(story: Story) -> None:
    assert "failed" in story.flipped and "WG900" in story.flipped
    assert story.slots[0] == "A"


def test_a_stick_with_a_release_updates_the_box_without_anybody(story: Story) -> None:
    assert story.slots == ["A", "B"]
    assert '"event":"installed"' in story.log and '"event":"good"' in story.log
    assert "B_OK=1\nB_TRY=0" in story.again and story.sent == 0


def test_a_stick_that_stays_in_is_not_installed_again(story: Story) -> None:
    assert "WG917" in story.again and "slot B, version 2.0.0" in story.again
    assert story.log.count('"event":"installed"') == 1
