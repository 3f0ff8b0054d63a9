"""A real RAUC that asks the box's handlers and then does not install, for whatever reason: no trial stays behind.

RAUC stands on a bus of its own, with the handlers of the image; its bundles are of the format "plain", which asks no device mapper of the
machine. Its handlers' units are played by `support.handlerbox`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import handlerbox
from support.busconf import BUS
from support.handlerbox import HandlerBox, records
from support.imagekit import Authority, authority
from support.processes import Program, run, until
from support.units import OVERLAY, TREE
from wardgate.update.grubenv import SIZE
from wardgate.update.trial import Phase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BOARD = "wardgate-qemu-x86_64"
SLOT_BYTES = 262144
CONF = """\
[system]
compatible={board}
bootloader=custom
bundle-formats=plain
mountprefix={folder}/mnt
statusfile={folder}/rauc.status
[handlers]
bootloader-custom-backend={folder}/slots
pre-install={folder}/before-install
post-install={lib}/after-install
[keyring]
path={anchor}
check-purpose=codesign
[slot.boot.0]
device={folder}/slotA
type=raw
bootname=A
[slot.boot.1]
device={folder}/slotB
type=raw
bootname=B
"""
# The box's own; while there is a file "hang", RAUC is kept in its handler after that.
BEFORE = "#!/bin/sh\nset -e\n{lib}/before-install\nwhile [ -e {folder}/hang ]; do sleep 0.2; done\n"
SLOTS = """\
#!/bin/sh
exec {python} -c 'import sys; from wardgate.update.slots import main; sys.exit(main(sys.argv[1:], "{folder}/grubenv"))' "$@"
"""


class Rauc:
    """A box's RAUC, running from slot A."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.box = folder, HandlerBox(folder)
        self._who: Authority = authority(folder / "ca")
        words = {"folder": folder, "lib": OVERLAY / "usr/lib/wardgate", "board": BOARD, "anchor": self._who.anchor}
        words["python"] = sys.executable
        (folder / "rauc.conf").write_text(CONF.format(**words))
        for name, text in (("before-install", BEFORE), ("slots", SLOTS)):
            (folder / name).write_text(text.format(**words))
            (folder / name).chmod(0o755)
        for name in "AB":
            (folder / f"slot{name}").write_bytes(bytes(SLOT_BYTES))
        (folder / "grubenv").write_bytes(b"# GRUB Environment Block\n".ljust(SIZE, b"#"))
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}", "DBUS_STARTER_BUS_TYPE": "system"}
        self.env["PATH"] = f"{handlerbox.make(folder)}:{os.environ['PATH']}"
        self.env["PYTHONPATH"] = ":".join(str(TREE / part) for part in ("firmware", "hsm", "tools", "tests"))
        self.env["RAUC_META_WARDGATE_VERSION"] = "2.0.0"  # the RAUC of Debian 12 does not tell it yet
        self.env["WARDGATE_FETCHED"] = str(folder / "fetched")
        self._program: Program | None = None

    def start(self) -> None:
        """Start RAUC's service, and wait until it answers."""
        words = ["rauc", f"--conf={self.folder / 'rauc.conf'}", "service", "--override-boot-slot=A"]
        self._program = Program(words, self.folder / "rauc.log", env=self.env)
        asks = ["busctl", "--system", "get-property", "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer", "BootSlot"]
        until(lambda: run(asks, 30, env=self.env).returncode == 0, "RAUC answers")

    def kill(self) -> None:
        """End it as the kernel does when there is no memory."""
        assert self._program is not None
        self._program.signal(signal.SIGKILL)
        self._program.wait(60)

    def stop(self) -> None:
        """Stop it, what waits for it, and take away what it has mounted: it does not when it ends in the middle of an install."""
        (self.folder / "hang").unlink(missing_ok=True)
        handlerbox.stop(self.folder)
        if self._program is not None:
            self._program.stop()
        if os.path.ismount(self.folder / "mnt/bundle"):
            run(["umount", self.folder / "mnt/bundle"])

    def bundle(self, board: str = BOARD, size: int = SLOT_BYTES // 2) -> Path:
        """Return a bundle of version 2.0.0."""
        folder, out = self.folder / "content", self.folder / "update.raucb"
        folder.mkdir()
        (folder / "boot.img").write_bytes(os.urandom(size))
        manifest = f"[update]\ncompatible={board}\nversion=2.0.0\n[meta.wardgate]\nversion=2.0.0\n[image.boot]\nfilename=boot.img\n"
        (folder / "manifest.raucm").write_text(manifest)
        words: list[str | Path] = ["rauc", "bundle", f"--cert={self._who.certificate}", f"--key={self._who.key}", folder, out]
        done = run(words, 60)
        assert done.returncode == 0, done.stdout
        return out

    def install(self, bundle: Path) -> subprocess.CompletedProcess[str]:
        """Have it install, as somebody who knows nothing of trials."""
        return run(["rauc", "install", bundle], 120, env=self.env)

    def over(self) -> None:
        """Wait until the trial of an install is no more one."""
        until(lambda: not self.box.is_any_trial(), "nothing is on trial")
        until(lambda: bool(records(self.folder)), "it is recorded")


@pytest.fixture
def rauc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rauc]:
    """It runs."""
    needs = {"rauc": "rauc", "dbus-daemon": "dbus-daemon", "busctl": "systemd", "mksquashfs": "squashfs-tools", "systemd-escape": "systemd"}
    for tool, package in needs.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install {package})")
    if os.geteuid() != 0:
        pytest.skip("RAUC's service mounts bundles: that needs root")
    made = Rauc(tmp_path)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.env["DBUS_SYSTEM_BUS_ADDRESS"])
    (tmp_path / "bus.conf").write_text(BUS.format(path=tmp_path / "bus"))
    bus = Program(["dbus-daemon", "--nofork", f"--config-file={tmp_path / 'bus.conf'}"], tmp_path / "bus.log")
    try:
        until((tmp_path / "bus").exists, "the bus is there")
        made.start()
        yield made
    finally:
        made.stop()
        bus.stop()


def test_an_install_that_ends_well_is_on_trial(rauc: Rauc) -> None:
    done = rauc.install(rauc.bundle())
    assert done.returncode == 0, done.stdout
    kept = rauc.box.trial()
    assert kept is not None and kept.phase is Phase.INSTALLED
    until(rauc.box.is_idle, "RAUC has ended")
    assert records(rauc.folder) == ["installed B 2.0.0 WG904 service"]


def test_a_bundle_of_another_board_leaves_no_trial(rauc: Rauc) -> None:
    done = rauc.install(rauc.bundle(board="wardgate-another-board"))
    assert done.returncode != 0
    rauc.over()
    (record,) = records(rauc.folder)
    assert record.startswith("refused B 2.0.0 WG900") and "wardgate-another-board" in record, record


def test_a_slot_without_room_leaves_no_trial(rauc: Rauc) -> None:
    (rauc.folder / "slotB").unlink()
    (rauc.folder / "slotB").symlink_to("/dev/full")
    done = rauc.install(rauc.bundle())
    assert done.returncode != 0
    rauc.over()
    (record,) = records(rauc.folder)
    assert record.startswith("refused B 2.0.0 WG900"), record


def test_rauc_that_dies_while_it_installs_leaves_no_trial(rauc: Rauc) -> None:
    (rauc.folder / "hang").touch()
    asked = Program(["rauc", "install", str(rauc.bundle())], rauc.folder / "asked.log", env=rauc.env)
    try:
        until(rauc.box.is_any_trial, "its handler was asked")
        assert not rauc.box.is_idle()
        rauc.kill()
        assert not rauc.box.is_idle() and rauc.box.is_any_trial(), "of RAUC that is not there nothing is believed"
        rauc.start()
        rauc.over()
    finally:
        asked.stop()
    assert [record.split()[0] for record in records(rauc.folder)] == ["refused"]


def test_who_is_turned_away_meanwhile_does_not_make_rauc_idle(rauc: Rauc) -> None:
    """RAUC 1.8 to 1.15 then say "idle" in their property `Operation`."""
    (rauc.folder / "hang").touch()
    bundle = rauc.bundle()
    asked = Program(["rauc", "install", str(bundle)], rauc.folder / "asked.log", env=rauc.env)
    try:
        until(rauc.box.is_any_trial, "its handler was asked")
        assert rauc.install(bundle).returncode != 0
        assert not rauc.box.is_idle()
    finally:
        asked.stop()
