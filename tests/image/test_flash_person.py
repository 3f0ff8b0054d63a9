"""Flashing as a person does it: what is asked for stands on the stick, a stick that is exchanged meanwhile is not written to, an image that
changes meanwhile is named, what is no disk is no image, and whoever interrupts is told what the disk is then."""

from __future__ import annotations

import gzip
import io
import os
from hashlib import sha256
from pathlib import Path

import pytest

from flash import __main__ as command
from flash import copy
from flash.copy import flash, measured
from flash.disks import Disk, System, read

STICK = Disk("sdb", 8 << 30, "Stick 8", "4C530001", False, True, False, (), (), ())


def disk_image(path: Path, size: int = 5 << 20) -> Path:
    """A disk as `layout.py` has genimage make them begins so: the protective MBR, and behind it the header of a GPT."""
    path.write_bytes(bytes(510) + b"\x55\xaa" + b"EFI PART" + os.urandom(size - 520))
    return path


def _sysfs(folder: Path, place: str, **words: str) -> System:
    """A machine with one disk `sdb` at this place of its devices; `words`: files below, `_` for `/`."""
    disk = folder / "devices" / place
    for word, value in {"size": "16777216", "removable": "0", "ro": "0", "dev": "8:16", **words}.items():
        path = disk / word.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    (folder / "class").mkdir()
    (folder / "class/sdb").symlink_to(disk)
    (folder / "mounts").write_text("")
    return System(folder / "class", folder / "mounts", folder / "swaps")


def test_the_serial_number_of_a_stick_is_that_of_its_usb_device_where_its_disk_says_none(tmp_path: Path) -> None:
    # The SCSI disk that the kernel makes of a stick has no `serial`; the device that was plugged in, some folders above, has.
    system = _sysfs(tmp_path, "pci/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb")
    (tmp_path / "devices/pci/usb2/serial").write_text("0000:00:14.0\n")  # the root hub's: that of the controller
    (tmp_path / "devices/pci/usb2/idVendor").write_text("1d6b\n")
    for word, value in (("idVendor", "0781"), ("serial", "4C530001")):
        (tmp_path / "devices/pci/usb2/2-1" / word).write_text(value + "\n")
    assert read("sdb", system).serial == "4C530001"


def test_a_stick_without_serial_number_has_not_that_of_the_hub_it_is_in(tmp_path: Path) -> None:
    system = _sysfs(tmp_path, "pci/usb2/2-1/2-1:1.0/host6/block/sdb")
    (tmp_path / "devices/pci/usb2/2-1/idVendor").write_text("0781\n")
    for word, value in (("idVendor", "1d6b"), ("serial", "0000:00:14.0")):
        (tmp_path / "devices/pci/usb2" / word).write_text(value + "\n")
    assert read("sdb", system).serial == ""


def test_memory_that_is_soldered_in_is_not_removable_and_a_card_is(tmp_path: Path) -> None:
    for kind, removable in (("MMC", False), ("SD", True)):
        folder = tmp_path / kind
        folder.mkdir()
        system = _sysfs(folder, "soc/mmc_host/mmc0/mmc0:0001/block/sdb", device__type=kind)
        assert read("sdb", system).is_removable is removable, kind


@pytest.fixture
def sitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person at a machine whose stick is a file: what the kernel says is made up, all else is the command's own."""
    target = tmp_path / "stick"
    target.write_bytes(b"\xaa" * (8 << 20))
    monkeypatch.setattr(command, "_name", lambda _device: os.path.relpath(target, "/dev"))
    monkeypatch.setattr(command, "read", lambda _name: STICK)
    return target


def _typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_stick_that_was_exchanged_while_the_question_stood_is_not_written_to(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugged = [STICK, STICK._replace(serial="77770002")]
    monkeypatch.setattr(command, "read", lambda _name: plugged.pop(0))
    _typed(monkeypatch, "4C530001\n")
    assert command.main([str(disk_image(tmp_path / "wardgate.img")), "/dev/disk/by-id/usb-Stick"]) == 1
    assert set(sitting.read_bytes()) == {0xAA}
    assert "another disk" in capsys.readouterr().err


def test_what_is_called_written_is_on_the_disk_and_not_in_this_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stick takes minutes for what the kernel takes in a second: all of it would be "written", and then nothing moves.
    image = disk_image(tmp_path / "wardgate.img", 150 << 20)
    size, digest = measured(image)
    target = tmp_path / "stick"
    target.write_bytes(b"")
    there = 0

    def on_the_disk(fd: int) -> None:
        nonlocal there
        there = os.lseek(fd, 0, os.SEEK_CUR)

    monkeypatch.setattr("os.fsync", on_the_disk)
    monkeypatch.setattr("os.fdatasync", on_the_disk)
    ahead = []
    flash(image, str(target), size, digest, lambda what, done: ahead.append(done - there) if what == "written" else None)
    assert max(ahead) <= 32 << 20 and len(ahead) > 30


def test_an_image_that_grew_while_it_was_written_is_not_called_the_same(tmp_path: Path) -> None:
    image = disk_image(tmp_path / "wardgate.img")
    size, digest = measured(image)
    with image.open("ab") as file:
        file.write(bytes(4096))
    target = tmp_path / "stick"
    target.write_bytes(b"\xaa" * (8 << 20))
    with pytest.raises(copy.Different, match="the image changed"):
        flash(image, str(target), size, digest, lambda _what, _done: None)
    assert target.read_bytes()[size:] == b"\xaa" * ((8 << 20) - size), "nothing is written behind the size that was measured"


def test_an_image_that_changed_while_it_was_written_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    image = disk_image(tmp_path / "wardgate.img")
    size, digest = measured(image)
    disk_image(image)
    target = tmp_path / "stick"
    target.write_bytes(bytes(8 << 20))
    with pytest.raises(copy.Different, match="the image changed"):
        flash(image, str(target), size, digest, lambda _what, _done: None)


@pytest.mark.parametrize("content", [b"", b"\x28\xb5\x2f\xfd" + os.urandom(4096), bytes(1 << 20)])
def test_what_is_no_disk_is_not_written(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """An empty file, one in a packing that is not undone here (zstd), a file system without its disk."""
    image = tmp_path / "wardgate.img.zst"
    image.write_bytes(content)
    _typed(monkeypatch, "4C530001\n")
    assert command.main([str(image), "/dev/disk/by-id/usb-Stick"]) == 1
    said = capsys.readouterr()
    assert "is no image of a disk" in said.err and "wardgate.img" in said.err and "Type its" not in said.out
    assert set(sitting.read_bytes()) == {0xAA}


def test_a_disk_image_in_the_sitting_is_written(sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = disk_image(tmp_path / "wardgate.img")
    packed = tmp_path / "wardgate.img.gz"
    packed.write_bytes(gzip.compress(image.read_bytes(), 1))
    for one in (image, packed):
        sitting.write_bytes(b"\xaa" * (8 << 20))
        _typed(monkeypatch, "4C530001\n")
        assert command.main([str(one), "/dev/disk/by-id/usb-Stick"]) == 0
        assert sha256(sitting.read_bytes()[: 5 << 20]).digest() == sha256(image.read_bytes()).digest()


def test_an_image_with_damage_in_its_packing_is_named_and_nothing_is_written(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = bytearray(gzip.compress(disk_image(tmp_path / "wardgate.img").read_bytes(), 1))
    packed[len(packed) // 2 :] = bytes(b"\xff" * (len(packed) // 2))
    image = tmp_path / "wardgate.img.gz"
    image.write_bytes(packed)
    _typed(monkeypatch, "4C530001\n")
    assert command.main([str(image), "/dev/disk/by-id/usb-Stick"]) == 1
    assert f"{image} cannot be read whole" in capsys.readouterr().err
    assert set(sitting.read_bytes()) == {0xAA}


def test_whoever_may_not_write_to_the_disk_is_told_so_before_the_question(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.os, "access", lambda path, _mode: not os.path.samefile(path, sitting))
    _typed(monkeypatch, "4C530001\n")
    assert command.main([str(disk_image(tmp_path / "wardgate.img")), "/dev/disk/by-id/usb-Stick"]) == 1
    said = capsys.readouterr()
    assert "as root" in said.err and "Type its" not in said.out


@pytest.mark.parametrize("words, wanted", [(("", "/dev/sdb"), "IMAGE="), (("wardgate.img", ""), "DEVICE=/dev/disk/by-id/")])
def test_a_word_that_was_left_out_is_asked_for_by_its_name(words: tuple[str, str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert wanted in capsys.readouterr().err


def test_who_interrupts_the_question_is_told_that_nothing_was_written(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(io.StringIO):
        def readline(self, *_size: int) -> str:  # type: ignore[override]
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())
    assert command.main([str(disk_image(tmp_path / "wardgate.img")), "/dev/disk/by-id/usb-Stick"]) == 1
    assert "nothing was written" in capsys.readouterr().err


def test_who_interrupts_the_writing_is_told_that_the_disk_is_half_written(
    sitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    _typed(monkeypatch, "4C530001\n")
    assert command.main([str(disk_image(tmp_path / "wardgate.img")), "/dev/disk/by-id/usb-Stick"]) == 1
    said = capsys.readouterr().err
    assert "do not start a box" in said and "flashed again" in said
