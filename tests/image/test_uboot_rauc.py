"""RAUC and U-Boot count in the same place: a real RAUC with the box's `system.conf` and
`fw_env.config`, on a disk that U-Boot then starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ubootkit
from support.busconf import BUS
from support.imagekit import authority
from support.processes import Program, until
from support.ubootkit import BOARD, Disk, Shop, layout, uboot
from support.units import rauc_root

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Box:
    """A disk, and RAUC as the box has it; what it calls are libubootenv's programs, told where the disk is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = Shop(folder, ubootkit.ours(), ubootkit.payload(again=True))
        self.disk: Disk = self.shop.disk(folder)
        root = rauc_root(folder / "box", BOARD, WARDGATE_KEYRING=str(authority(folder / "ca").anchor))
        start, _ = layout.place(uboot.LABEL, layout.settings(BOARD))
        lines = [line.split() for line in (root / "etc/fw_env.config").read_text().splitlines()]
        where = "".join(f"{self.disk.path} {start + int(offset, 16):#x} {size}\n" for _, offset, size in lines)
        (folder / "fw_env.config").write_text(where)
        programs = folder / "bin"
        programs.mkdir()
        for name in ("fw_printenv", "fw_setenv"):
            (programs / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} -c {folder / "fw_env.config"} "$@"\n')
            (programs / name).chmod(0o755)
        system = (root / "etc/rauc/system.conf").read_text()
        system = system.replace("/etc/rauc", str(root / "etc/rauc")).replace("/state/", f"{folder}/")
        for name in ("boot_a", "root_a", "boot_b", "root_b"):
            (folder / name).write_bytes(b"")
            system = system.replace(f"/dev/disk/by-partlabel/{name}", str(folder / name))
        # The handlers are the box's own and not asked for here; the RAUC of Debian 12 does not know the least version.
        (folder / "system.conf").write_text(
            "".join(line for line in system.splitlines(True) if not line.startswith(("pre-", "post-", "min-")))
        )
        (folder / "bus.conf").write_text(BUS.format(path=folder / "bus"))
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}", "DBUS_STARTER_BUS_TYPE": "system"}
        self.env["PATH"] = f"{programs}:{os.environ['PATH']}"

    def rauc(self, slot: str, *words: str) -> str:
        """Ask RAUC, as in a box that runs `slot`."""
        service = [f"--conf={self.folder / 'system.conf'}", "service", f"--override-boot-slot={slot}"]
        program = Program(["rauc", *service], self.folder / "rauc.log", env=self.env)
        try:
            until(lambda: not program.running() or self._ask("status")[0] == 0, "RAUC answers")
            assert program.running(), program.log
            status, said = self._ask(*words)
            assert status == 0, said + program.log
            return re.sub(r"\x1b\[[0-9;]*m", "", said)
        finally:
            program.stop()

    def _ask(self, *words: str) -> tuple[int, str]:
        env = {**os.environ, **self.env}
        done = subprocess.run(["rauc", *words], env=env, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A new disk, slot A in both, and a bus."""
    ubootkit.need_tools()
    for tool, package in {"rauc": "rauc", "fw_setenv": "libubootenv-tool", "dbus-daemon": "dbus-daemon"}.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install {package})")
    if os.geteuid() != 0:
        pytest.skip("RAUC's service needs root")
    made = Box(tmp_path)
    bus = Program(["dbus-daemon", "--nofork", f"--config-file={tmp_path / 'bus.conf'}"], tmp_path / "bus.log")
    try:
        until((tmp_path / "bus").exists, "the bus is there")
        yield made
    finally:
        bus.stop()


def _starts(box: Box, starts: int = 1) -> str:
    """Return what U-Boot starts. Debian's does not read the disk's environment: it is told what stands there."""
    if box.disk.ours is None:
        box.disk.give(dict(zip(uboot.COUNTING, box.disk.counts(), strict=True)))
    return box.disk.run(starts=starts).slots


def test_what_rauc_writes_is_what_uboot_starts(box: Box) -> None:
    assert box.disk.counts() == ("A B", "3", "3"), "as it leaves the workshop"
    assert "boot status: good" in box.rauc("A", "status")
    box.rauc("A", "status", "mark-active", "other")
    assert box.disk.counts()[0].split()[0] == "B" and _starts(box) == "B"
    if box.disk.ours is not None:  # Debian's counts nothing down
        assert box.disk.counts()[2] == "2"
    box.rauc("B", "status", "mark-good")
    assert box.disk.counts()[2] == "3"
    box.rauc("B", "status", "mark-bad")
    assert box.disk.counts()[2] == "0" and _starts(box) == "A"


def test_a_slot_that_nobody_marks_good_gives_way_to_the_one_that_rauc_left(box: Box) -> None:
    if box.disk.ours is None:
        pytest.skip("UBOOT= names no U-Boot of our configuration: Debian's remembers nothing")
    box.rauc("A", "status", "mark-active", "other")
    assert _starts(box, 4) == "BBBA"
    assert "boot status: bad" in box.rauc("A", "status").split("boot.1")[1]
