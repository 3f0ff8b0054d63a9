"""The same appliance on another machine: QEMU's arm64 `virt`, Debian's arm64 packages, Secure Boot by EDK2."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from support.imagekit import Image
from support.machine import AARCH64
from support.qemubox import QemuBox, place_of
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

LOOKS = {
    "failed": "systemctl --failed --plain --no-legend",
    "machine": "uname -m",
    "sockets": "ss -H -lntu",
    "root": "findmnt -rno SOURCE,FSTYPE,OPTIONS /; cat /proc/cmdline",
    "secure": "od -An -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-*; cat /sys/kernel/security/lockdown",
    "slots": "cat /efi/grubenv",
    "memory": "awk '/MemTotal|MemAvailable/ { print $2 }' /proc/meminfo",
    "journal": "journalctl -b --no-pager -o cat -u wardgate -u wardgate-update | tail -n 40",
}


@dataclass
class Seen:
    """What the box said to each look; what went through it."""

    said: dict[str, str] = field(default_factory=dict)
    sent: str = ""
    wanted: list[bytes] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="module")
def image() -> Image:
    imagekit.need_tools(AARCH64, asked=True)
    return imagekit.build("1.0.0", machine=AARCH64)


@pytest.fixture(scope="module")
def seen(image: Image, tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Seen:
    """Boot once and look at everything."""
    folder: Path = tmp_path_factory.mktemp("arm64")
    site = Site(folder, pki, machine=AARCH64)
    samples = datasets.generate(folder / "study", 2, rows=64)
    made = Seen(wanted=[datasets.data_set(sample.path.read_bytes()) for sample in samples])
    site.open_pacs()
    try:
        began = time.monotonic()
        with qemubox.powered(site.box(folder, site.disk(image))) as box:
            box.wait_shell()
            box.until("ss -H -ltn | grep -q ':104 '", pause=0.2)
            print(f"service after {time.monotonic() - began:.1f} s")
            box.until("systemctl is-active -q wardgate-update", 300)
            made.sent = site.store(*samples).stdout
            made.arrived = [datasets.data_set(path.read_bytes()) for path in site.delivered()]
            made.said = {name: box.run(command)[1].strip() for name, command in LOOKS.items()}
            print(made.said["memory"])
    finally:
        site.close_pacs()
    return made


def test_it_boots_to_service_on_arm64(seen: Seen) -> None:
    assert seen.said["machine"] == "aarch64" and seen.said["failed"] == "", seen.said["journal"]
    assert [line.split()[4] for line in seen.said["sockets"].splitlines()] == ["192.0.2.1:104"]


def test_an_instance_that_comes_in_clear_arrives_under_tls(seen: Seen) -> None:
    assert sorted(seen.arrived) == sorted(seen.wanted), f"{seen.sent}\n{seen.said['journal']}"


def test_the_root_is_under_verity_and_what_names_its_hash_was_checked_by_the_firmware(seen: Seen) -> None:
    assert " squashfs ro" in seen.said["root"] and "panic_on_corruption" in seen.said["root"]
    assert seen.said["secure"].split()[0] == "1" and "[confidentiality]" in seen.said["secure"]
    assert "A_OK=1\nA_TRY=0\n" in seen.said["slots"]


def test_another_root_hash_on_the_command_line_is_refused_by_the_firmware(image: Image, folder: Path) -> None:
    path, disk = folder / "wardgate-a.efi", folder / "changed.img"
    subprocess.run(["mcopy", "-n", "-i", str(image.folder / "boot.vfat"), "::wardgate-a.efi", str(path)], check=True, timeout=60)
    content = bytearray(path.read_bytes())
    at = content.index(b" sha256 ") + 8
    content[at : at + 8] = b"00000000" if content[at : at + 8] != b"00000000" else b"11111111"
    path.write_bytes(content)
    subprocess.run(["cp", "--sparse=always", str(image.disk), str(disk)], check=True, timeout=120)
    offset, _ = place_of("boot_a", AARCH64)
    subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{offset}", str(path), "::wardgate-a.efi"], check=True, timeout=60)
    box = QemuBox(folder, qemubox.overlay(disk, folder / "box.qcow2"), machine=AARCH64)
    with qemubox.powered(box):
        deadline = time.monotonic() + 300
        while "no slot starts" not in box.console and not box.shell_said("READY") and time.monotonic() < deadline:
            time.sleep(0.5)
        assert "slot A was refused by the firmware" in box.console and not box.shell_said("READY"), box.console[-2000:]
