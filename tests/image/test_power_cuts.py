"""Power cuts at twenty moments of an update: while the slot is written, while the loader is told, while the new slot starts.

Each begins from a copy of one disk in service: install or restart, kill QEMU, power on again, see a slot in service. Half an hour and more
on an idle machine, so only with WARDGATE_IMAGE_TEST=1 (`make image-test`).
WARDGATE_POWER_CUTS=N: fewer of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from support.qemubox import QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(7200)]

CUTS = int(os.environ.get("WARDGATE_POWER_CUTS", "20"))
DURING_INSTALL = (CUTS * 3 + 4) // 5  # the others fall into the restart
INSTALL = "setpriv --reuid wardgate --regid wardgate --init-groups wardgate update /run/stick/v2.0.0.raucb -c /etc/wardgate/wardgate.toml"


class Bench:
    """The box in service, and how long install and restart take on this machine now."""

    def __init__(self, folder: Path, site: Site, disk: Path, stick: Path) -> None:
        self.folder, self.site, self.disk = folder, site, disk
        self.devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
        self.install_seconds = self.start_seconds = 0.0

    def box(self, name: str, disk: Path) -> QemuBox:
        folder = self.folder / name
        folder.mkdir()
        return self.site.box(folder, disk, self.devices)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Bench]:
    """Bring 1.0.0 into service, measure one whole update of it."""
    if os.environ.get("WARDGATE_IMAGE_TEST") != "1":
        pytest.skip("slow: twenty power cuts in emulation, half an hour; make image-test")
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("cuts")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0")
    site = Site(folder, pki, trial=600)
    disk = site.disk(first)
    made = Bench(folder, site, disk, imagekit.stick(folder / "stick.img", [second.bundle]))
    site.open_pacs()
    with qemubox.powered(made.box("first", disk)) as box:
        box.wait_shell()
        box.until("systemctl is-active -q wardgate-update && ss -H -ltn | grep -q ':104 '")
        assert site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode == 0
        box.ask("sync; systemctl poweroff --force --no-block")
        box.wait_off()
    whole = qemubox.overlay(disk, folder / "whole.qcow2")
    with qemubox.powered(made.box("whole", whole)) as box:
        begin(box)
        began = time.monotonic()
        box.ask(INSTALL, 1200)
        made.install_seconds = time.monotonic() - began
        began = time.monotonic()
        box.run("sync; systemctl reboot --no-block")
        box.wait_shell()
        in_service(box)
        made.start_seconds = time.monotonic() - began
    print(f"install {made.install_seconds:.0f} s, restart to a marked slot {made.start_seconds:.0f} s")
    yield made
    site.close_pacs()


def begin(box: QemuBox) -> None:
    """Wait for service, with the stick in."""
    box.wait_shell()
    in_service(box)
    box.ask("mkdir -p /run/stick && mount -o ro /dev/vdb /run/stick")


def in_service(box: QemuBox) -> None:
    """Wait until the gateway listens and the slot is judged."""
    box.until("ss -H -ltn | grep -q ':104 ' && systemctl is-active -q wardgate-update", 1200)


@pytest.mark.parametrize("number", range(CUTS))
def test_a_power_cut_leaves_a_slot_that_works(bench: Bench, number: int) -> None:
    disk = qemubox.overlay(bench.disk, bench.folder / f"cut{number}.qcow2")
    with qemubox.powered(bench.box(f"cut{number}", disk)) as box:
        begin(box)
        if number < DURING_INSTALL:
            box.send(INSTALL)
            time.sleep(bench.install_seconds * (number + 0.5) / DURING_INSTALL)
        else:
            box.ask(INSTALL, 1200)
            box.run("systemctl reboot --no-block")
            time.sleep(bench.start_seconds * (number - DURING_INSTALL + 0.5) / (CUTS - DURING_INSTALL))
    with qemubox.powered(bench.box(f"after{number}", disk)) as box:
        box.wait_shell()
        in_service(box)
        slot, version = box.slot(), box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release")
        memory = box.ask("head -c 80 /efi/grubenv | tr '\\n' ' '")
        print(f"cut {number}: slot {slot}, version {version}, {memory}")
        assert (slot, version) in (("A", "1.0.0"), ("B", "2.0.0"))
        assert f"{slot}_OK=1 {slot}_TRY=0" in memory, box.journal()
        assert box.run("test -e /state/update/trial.json")[0] != 0, "the trial is over"
        sent = bench.site.store(*datasets.generate(bench.folder / f"study{number}", 1, rows=64, study=100 + number))
        assert sent.returncode == 0, f"{sent.stdout}\n{box.journal()}"
    (bench.folder / f"cut{number}.qcow2").unlink()
