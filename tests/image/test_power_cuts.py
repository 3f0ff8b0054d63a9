"""Power cuts at twenty moments of an update: while the slot is written, while the loader is told, while the new slot starts.

Each goes on from one of two boxes that were put away running: in service with the stick in, and with the update installed. It installs or
restarts, QEMU is killed, the power comes back, a slot has to be in service. QEMU when killed loses what the box wrote and did not flush
only where a cluster of the disk's file was new. Half an hour on an idle machine, so only with WARDGATE_IMAGE_TEST=1 (`make image-test`).
WARDGATE_POWER_CUTS=N: fewer of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, imagekit, qemubox
from support.boxsite import Site
from support.qemubox import Frozen, QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(7200)]

CUTS = int(os.environ.get("WARDGATE_POWER_CUTS", "20"))
DURING_INSTALL = (CUTS * 3 + 4) // 5  # the others fall into the restart
INSTALL = "setpriv --reuid wardgate --regid wardgate --init-groups wardgate update /run/stick/v2.0.0.raucb -c /etc/wardgate/wardgate.toml"
RESTART = "systemctl reboot --no-block"


class Bench:
    """Two boxes put away running, and how long install and restart take on this machine now."""

    def __init__(self, folder: Path, site: Site, stick: Path) -> None:
        self.folder, self.site = folder, site
        self.devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
        self.install_seconds = self.start_seconds = 0.0
        self.ready: Frozen | None = None
        self.installed: Frozen | None = None

    def box(self, name: str, disk: Path) -> QemuBox:
        folder = self.folder / name
        folder.mkdir()
        return self.site.box(folder, disk, self.devices)

    @contextlib.contextmanager
    def going_on(self, name: str, frozen: Frozen | None) -> Iterator[QemuBox]:
        """A box that goes on from `frozen`, on a disk of its own."""
        assert frozen is not None
        with qemubox.powered(self.box(name, qemubox.overlay(frozen.disk, self.folder / f"{name}.qcow2")), frozen) as box:
            yield box


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Bench]:
    """Bring 1.0.0 into service and put it away; install 2.0.0 and put that away; see it start."""
    if os.environ.get("WARDGATE_IMAGE_TEST") != "1":
        pytest.skip("slow: twenty power cuts in emulation, half an hour; make image-test")
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("cuts")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0")
    site = Site(folder, pki, trial=600)
    made = Bench(folder, site, imagekit.stick(folder / "stick.img", [second.bundle]))
    site.open_pacs()
    try:
        with qemubox.powered(made.box("first", site.disk(first))) as box:
            box.wait_shell()
            in_service(box)
            assert site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode == 0
            box.ask("sync; mkdir -p /run/stick && mount -o ro /dev/vdb /run/stick")
            made.ready = box.freeze()
        with made.going_on("whole", made.ready) as box:
            began = time.monotonic()
            box.ask(INSTALL, 1200)
            made.install_seconds = time.monotonic() - began
            made.installed = box.freeze()
        with made.going_on("start", made.installed) as box:
            began = time.monotonic()
            box.send(RESTART)
            box.wait_shell()
            in_service(box)
            made.start_seconds = time.monotonic() - began
            assert box.slot() == "B"
        print(f"install {made.install_seconds:.0f} s, restart to a marked slot {made.start_seconds:.0f} s")
        yield made
    finally:
        site.close_pacs()


def in_service(box: QemuBox) -> None:
    """Wait until the gateway listens and the slot is judged."""
    box.until("ss -H -ltn | grep -q ':104 ' && systemctl is-active -q wardgate-update", 1200)


@pytest.mark.parametrize("number", range(CUTS))
def test_a_power_cut_leaves_a_slot_that_works(bench: Bench, number: int) -> None:
    name, disk = f"cut{number}", bench.folder / f"cut{number}.qcow2"
    if number < DURING_INSTALL:
        seconds = bench.install_seconds * (number + 0.5) / DURING_INSTALL
    else:
        seconds = bench.start_seconds * (number - DURING_INSTALL + 0.5) / (CUTS - DURING_INSTALL)
    with bench.going_on(name, bench.ready if number < DURING_INSTALL else bench.installed) as box:
        box.send(INSTALL if number < DURING_INSTALL else RESTART)
        time.sleep(seconds)
    with qemubox.powered(bench.box(f"after{number}", disk)) as box:
        box.wait_shell()
        in_service(box)
        slot, version = box.slot(), box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release")
        memory = box.ask("head -c 80 /efi/grubenv | tr '\\n' ' '")
        print(f"cut {number} after {seconds:.1f} s: slot {slot}, version {version}, {memory}")
        assert (slot, version) in (("A", "1.0.0"), ("B", "2.0.0"))
        assert f"{slot}_OK=1 {slot}_TRY=0" in memory, box.journal()
        assert box.run("test -e /state/update/trial.json")[0] != 0, "the trial is over"
        sent = bench.site.store(*datasets.generate(bench.folder / f"study{number}", 1, rows=64, study=100 + number))
        assert sent.returncode == 0, f"{sent.stdout}\n{box.journal()}"
        box.ask("wardgate update whole -c /etc/wardgate/wardgate.toml", 120)  # the custody log, every record of it
    disk.unlink()
