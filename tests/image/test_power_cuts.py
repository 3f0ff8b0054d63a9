"""Power cuts at twenty moments of an update: while the slot is written, while the loader is told, while the new slot starts.

No moment is guessed: each is seen on the box's disk, on its console or in its shell, and the cut comes at once. Each goes on from one of
two boxes that were put away running: in service with the stick in, and with the update installed. QEMU is killed, the power comes back, and
the slot that must be is in service. What the box wrote is on the disk, what it had not written yet is lost.

Half an hour on an idle machine and more, so only with WARDGATE_IMAGE_TEST=1 (`make image-test`); `-k install` and the like for a part.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import boxlog, boxwords, datasets, imagekit, qemubox
from support.boxsite import Site
from support.imagekit import Image
from support.qemubox import Frozen, QemuBox
from support.slotspy import SlotSpy
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(7200)]

INSTALL = boxwords.as_account("wardgate", "wardgate update /run/stick/v2.0.0.raucb -c /etc/wardgate/wardgate.toml")
RESTART = "systemctl reboot --no-block"
# As a slow eMMC writes: the slot takes its time, and each moment of it can be seen.
WRITE_BYTES_PER_SECOND = 6_000_000
SEEN_SECONDS, PAUSE_SECONDS = 900.0, 0.05

Seen = Callable[[QemuBox, SlotSpy], bool]


class Moment(NamedTuple):
    """When the power goes. `at`: is it now? `ends`: what the custody log says of the update at the end; "": that it was interrupted,
    or nothing. `in_slot`: the slot is being written."""

    name: str
    at: Seen
    ends: str
    in_slot: bool = False


def root_at(share: float) -> Seen:
    return lambda box, spy: spy.written().root >= share


def console_says(word: str) -> Seen:
    return lambda box, spy: re.search(word, box.console) is not None


def state_is(unit: str, *states: str) -> Seen:
    def at(box: QemuBox, spy: SlotSpy) -> bool:
        return box.shell_answers() and box.run(f"systemctl show -p ActiveState --value {unit}")[1].strip() in states

    return at


def is_marked(box: QemuBox, spy: SlotSpy) -> bool:
    """GRUB has counted on the disk, and the count is gone again."""
    return box.shell_answers() and spy.loader().b.good and spy.loader().b.tried == 0


DURING_INSTALL = [
    # Its bytes are on the disk, its name perhaps not yet.
    Moment("install, what worked is kept", lambda box, spy: spy.state_says(b'"phase": "installing"'), ""),
    Moment("install, boot begun", lambda box, spy: spy.written().boot > 0, "interrupted", True),
    Moment("install, boot half", lambda box, spy: spy.written().boot >= 0.5, "interrupted", True),
    *(Moment(f"install, root {share:.0%}", root_at(share), "interrupted", True) for share in (0.01, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)),
    Moment("install, the loader prefers the new slot", lambda box, spy: spy.loader().primary() == "B", "good"),
]
AFTER_INSTALL = [
    Moment("installed, not restarted", lambda box, spy: True, "good"),
    Moment("restart, firmware", console_says("BdsDxe: starting"), "good"),
    Moment("restart, GRUB", console_says("Wardgate: slot B"), "good"),
    Moment("restart, kernel", console_says(r"\[ +\d+\.\d+\]"), "good"),
    Moment("restart, basic services are up", lambda box, spy: box.shell_answers(), "good"),
    Moment("restart, gateway starts", state_is("wardgate", "activating", "active"), "good"),
    Moment("restart, the judge runs", state_is("wardgate-update", "activating"), "good"),
    Moment("restart, marked good", is_marked, "good"),
]
assert len(DURING_INSTALL + AFTER_INSTALL) == 20


class Bench:
    """Two boxes put away running; how many cuts fell while the slot was being written."""

    def __init__(self, folder: Path, site: Site, stick: Path, new: Image) -> None:
        self.folder, self.site, self.new = folder, site, new
        self.devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
        self.ready: Frozen | None = None
        self.installed: Frozen | None = None

    def box(self, name: str, disk: Path) -> QemuBox:
        folder = self.folder / name
        folder.mkdir()
        return self.site.box(folder, disk, self.devices)

    def put_away(self, box: QemuBox, name: str) -> Frozen:
        """Return the box as it is now, on a raw disk."""
        frozen = box.freeze()
        disk = self.folder / f"{name}.img"
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(frozen.disk), str(disk)], check=True, timeout=300)
        return frozen._replace(disk=disk)

    @contextlib.contextmanager
    def going_on(self, name: str, frozen: Frozen, disk: Path) -> Iterator[QemuBox]:
        """A box that goes on from `frozen`, on a copy of its disk, `disk`."""
        subprocess.run(["cp", "--sparse=always", str(frozen.disk), str(disk)], check=True, timeout=300)
        with qemubox.powered(self.box(name, disk), frozen) as box:
            yield box


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Bench]:
    """Bring 1.0.0 into service and put it away; install 2.0.0 and put that away."""
    if os.environ.get("WARDGATE_IMAGE_TEST") != "1":
        pytest.skip("slow: twenty power cuts in emulation, half an hour; make image-test")
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("cuts")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0")
    site = Site(folder, pki, trial=600)
    made = Bench(folder, site, imagekit.stick(folder / "stick.img", [second.bundle]), second)
    site.open_pacs()
    try:
        with qemubox.powered(made.box("first", site.disk(first))) as box:
            box.wait_shell()
            box.in_service()
            assert site.store(*datasets.generate(folder / "study", 1, rows=64)).returncode == 0
            box.ask("sync; mkdir -p /run/stick && mount -o ro /dev/vdb /run/stick")
            made.ready = made.put_away(box, "ready")
        with made.going_on("whole", made.ready, folder / "whole.img") as box:
            began = time.monotonic()
            box.ask(INSTALL, 1200)
            print(f"install {time.monotonic() - began:.0f} s")
            made.installed = made.put_away(box, "installed")
        yield made
    finally:
        site.close_pacs()


def cut(bench: Bench, moment: Moment, name: str, disk: Path) -> str:
    """Have the box install or restart, and cut its power at the moment; return what its disk was like then."""
    frozen = bench.ready if moment in DURING_INSTALL else bench.installed
    assert frozen is not None
    with bench.going_on(name, frozen, disk) as box:
        # What differs between the slot as it was and the new release is seen on the disk of before the install.
        assert bench.ready is not None
        spy = SlotSpy(disk, bench.new, before=bench.ready.disk)
        try:
            if moment in DURING_INSTALL:
                box.monitor(f"block_set_io_throttle disk 0 0 {WRITE_BYTES_PER_SECOND} 0 0 0")
            (bench.folder / name / "console.log").write_bytes(b"")
            box.send(INSTALL if moment in DURING_INSTALL else RESTART)
            deadline = time.monotonic() + SEEN_SECONDS
            while not moment.at(box, spy):
                assert time.monotonic() < deadline, f"{moment.name}: not seen\n{box.console[-2000:]}"
                time.sleep(PAUSE_SECONDS)
            box.power_off()
            written = spy.written()
            assert not moment.in_slot or written.is_part, f"{moment.name}: the slot was not being written: {written}"
            assert moment.in_slot or moment in AFTER_INSTALL or written in ((0.0, 0.0), (1.0, 1.0)), written
            return f"boot {written.boot:.0%} root {written.root:.0%} {spy.loader()}"
        finally:
            spy.close()


@pytest.mark.parametrize("moment", DURING_INSTALL + AFTER_INSTALL, ids=lambda moment: moment.name)
def test_a_power_cut_leaves_a_slot_that_works(bench: Bench, moment: Moment) -> None:
    number = (DURING_INSTALL + AFTER_INSTALL).index(moment)
    name, disk = f"cut{number}", bench.folder / f"cut{number}.img"
    seen = cut(bench, moment, name, disk)
    with qemubox.powered(bench.box(f"after{number}", disk)) as box:
        box.wait_shell()
        box.in_service()
        slot, version = box.slot(), box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release")
        memory = box.ask("head -c 80 /efi/grubenv | tr '\\n' ' '")
        print(f"cut {number}, {moment.name} ({seen}): slot {slot}, version {version}, {memory}")
        assert (slot, version) == (("B", "2.0.0") if moment.ends == "good" else ("A", "1.0.0"))
        assert f"{slot}_OK=1 {slot}_TRY=0" in memory, box.journal()
        assert box.run("test -e /state/update/trial.json")[0] != 0, "the trial is over"
        assert box.run("wardgate update whole -c /etc/wardgate/wardgate.toml", 120)[0] == 0, box.journal()
        told = "\n".join(boxlog.pieces(box, r'"type":"(update|box)"[^}]*'))
        assert (told == "" and not moment.ends) or re.search(rf'"event":"(update-)?{moment.ends or "interrupted"}"', told), told
        sent = bench.site.store(*datasets.generate(bench.folder / f"study{number}", 1, rows=64, study=100 + number))
        assert sent.returncode == 0, f"{sent.stdout}\n{box.journal()}"
    disk.unlink()
