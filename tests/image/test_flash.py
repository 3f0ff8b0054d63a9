"""Flashing: the wrong disk is not written to, and what is on the right one is compared. Disks are made up in a sysfs of our own;
writing is tried on files and, as root, on a loop device."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from flash.copy import Different, flash, measured
from flash.disks import Disk, System, ids, read
from flash.guard import is_confirmed, refusals
from support.units import TREE

GOOD = Disk("sdb", 8 << 30, "Stick 8", "4C530001", False, True, False, (), (), ())


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mounted": ("/", "/home")}, "mounted: /, /home"),
        ({"swaps": ("/dev/sdb2",)}, "swap"),
        ({"held_by": ("dm-0",)}, "in use by dm-0"),
        ({"is_partition": True}, "partition"),
        ({"is_read_only": True}, "write-protected"),
        ({"is_removable": False}, "not removable"),
        ({"size": 1000}, "1000 bytes"),
        ({"size": 2 << 40}, "2048 GiB"),
    ],
)
def test_the_wrong_disk_is_refused_with_its_reason(change: dict, word: str) -> None:
    (reason,) = refusals(GOOD._replace(**change), 1 << 20)
    assert word in reason


def test_the_right_disk_is_not_refused_and_what_stands_on_it_must_be_typed() -> None:
    assert refusals(GOOD, 1 << 20) == []
    assert refusals(GOOD._replace(is_removable=False), 1 << 20, unsafe_allow_internal=True) == []
    assert is_confirmed(GOOD, "4C530001\n")
    for typed in ("", "\n", "y\n", "yes\n", "Stick 8\n", "4c530001\n"):
        assert not is_confirmed(GOOD, typed)
    assert is_confirmed(GOOD._replace(serial=""), "Stick 8\n")
    assert not is_confirmed(GOOD._replace(serial=""), "\n")


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A machine with its disk `sda` and a stick `sdb` on USB."""
    block, devices = tmp_path / "class", tmp_path / "devices"
    block.mkdir()
    for name, place, number in (("sda", "pci/ata1/sda", "8:0"), ("sdb", "pci/usb2/sdb", "8:16")):
        folder = devices / place
        for word, value in (("size", "16777216"), ("removable", "0"), ("ro", "0"), ("dev", number), ("device/model", f"Model {name}")):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).write_text(value + "\n")
        part = folder / f"{name}1"
        (part / "holders").mkdir(parents=True)
        (part / "partition").write_text("1\n")
        (part / "dev").write_text(f"8:{int(number.split(':')[1]) + 1}\n")
        (part / "size").write_text("2048\n")
        (block / name).symlink_to(folder)
        (block / part.name).symlink_to(part)
    (tmp_path / "mounts").write_text("25 1 8:1 / / rw - ext4 /dev/root rw\n")
    (tmp_path / "swaps").write_text("Filename Type Size\n")
    return System(block, tmp_path / "mounts", tmp_path / "swaps")


def test_the_disk_of_the_machine_is_known_by_the_number_of_what_is_mounted(system: System) -> None:
    disk = read("sda", system)
    assert (disk.mounted, disk.is_removable, disk.size) == (("/",), False, 8 << 30)
    stick = read("sdb", system)
    assert (stick.mounted, stick.is_removable, stick.model) == ((), True, "Model sdb")
    assert read("sdb1", system).is_partition


def test_swap_and_device_mapper_on_a_partition_are_seen(system: System) -> None:
    system.swaps.write_text("Filename Type Size\n/dev/sdb1 partition 100\n")
    (system.block / "sdb1/holders/dm-3").mkdir()
    stick = read("sdb", system)
    assert stick.swaps == ("/dev/sdb1",) and stick.held_by == ("dm-3",)


def test_a_disk_is_found_by_the_names_that_do_not_change(tmp_path: Path) -> None:
    (tmp_path / "usb-Stick_4C53-0:0").symlink_to("../../sdb")
    (tmp_path / "ata-Disk").symlink_to("../../sda")
    assert ids("sdb", tmp_path) == [str(tmp_path / "usb-Stick_4C53-0:0")]
    assert ids("sdb", tmp_path / "absent") == []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "wardgate.img"
    path.write_bytes(bytes(512) + b"EFI PART" + os.urandom(5 << 20) + bytes(123))
    return path


def _seen() -> tuple[list[tuple[str, int]], object]:
    said: list[tuple[str, int]] = []
    return said, lambda what, done: said.append((what, done))


@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
def test_what_is_written_is_the_image_and_nothing_behind_it_changes(image: Path, tmp_path: Path, packed: str) -> None:
    data = image.read_bytes()
    if packed:
        image = tmp_path / f"wardgate.img{packed}"
        image.write_bytes({".gz": gzip.compress, ".xz": lzma.compress}[packed](data))
    size, digest = measured(image)
    assert (size, digest) == (len(data), sha256(data).hexdigest())
    target = tmp_path / "disk"
    target.write_bytes(b"\xaa" * (8 << 20))
    said, progress = _seen()
    flash(image, str(target), size, digest, progress)  # type: ignore[arg-type]
    assert target.read_bytes() == data + b"\xaa" * ((8 << 20) - len(data))
    assert said[-1] == ("read back", size) and ("written", size) in said


def test_a_disk_that_gives_back_something_else_is_named(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, digest = measured(image)
    target = tmp_path / "disk"
    target.write_bytes(bytes(8 << 20))
    real = os.fsync

    def fake_stick(fd: int) -> None:
        """One that has less memory than it says: what was written far behind is gone."""
        os.pwrite(fd, bytes(4096), 4 << 20)
        real(fd)

    monkeypatch.setattr("os.fsync", fake_stick)
    with pytest.raises(Different):
        flash(image, str(target), size, digest, lambda _what, _done: None)


def test_a_damaged_image_is_found_before_anything_is_written(image: Path, tmp_path: Path) -> None:
    packed = tmp_path / "wardgate.img.gz"
    packed.write_bytes(gzip.compress(image.read_bytes())[:-1000])
    with pytest.raises(EOFError):
        measured(packed)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("a loop device needs root")
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xaa" * (8 << 20))
    made = subprocess.run(["losetup", "--find", "--show", str(disk)], capture_output=True, text=True, timeout=30, check=False)
    if made.returncode:
        pytest.skip(f"no loop device here: {made.stderr.strip()[:100]}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], timeout=30, check=True)


def _command(*words: str | Path, typed: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "flash", *map(str, words)]
    return subprocess.run(
        argv, input=typed, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(TREE / "tools")}
    )


def test_the_command_asks_and_writes_a_real_block_device(loop: str, image: Path, tmp_path: Path) -> None:
    name = os.path.basename(loop)
    refused = _command(image, loop, typed=f"{name}\n")
    assert refused.returncode == 1 and "not removable" in refused.stderr
    for typed in ("", "yes\n"):
        assert _command(image, loop, "--unsafe-allow-internal", typed=typed).returncode == 1
    assert set((tmp_path / "disk").read_bytes()) == {0xAA}, "nothing was written until it was confirmed"
    done = _command(image, loop, "--unsafe-allow-internal", typed=f"{name}\n")
    assert done.returncode == 0, done.stderr
    assert "written and read back, the same" in done.stdout
    assert (tmp_path / "disk").read_bytes()[: image.stat().st_size] == image.read_bytes()


def test_a_mounted_block_device_is_refused(loop: str, image: Path, tmp_path: Path) -> None:
    subprocess.run(["mke2fs", "-q", loop], timeout=30, check=True)
    place = tmp_path / "place"
    place.mkdir()
    if subprocess.run(["mount", loop, place], capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        done = _command(image, loop, "--unsafe-allow-internal", typed=f"{os.path.basename(loop)}\n")
        assert done.returncode == 1 and "it is mounted" in done.stderr
        size, digest = measured(image)
        with pytest.raises(OSError):  # the kernel's own guard, without ours
            flash(image, loop, size, digest, lambda _what, _done: None)
    finally:
        subprocess.run(["umount", place], timeout=30, check=True)


def test_a_file_is_no_disk(image: Path, tmp_path: Path) -> None:
    done = _command(image, image, typed="\n")
    assert done.returncode == 1 and "no block device" in done.stderr
