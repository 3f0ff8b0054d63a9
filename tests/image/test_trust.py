"""Who changes the disk gets nothing started: a bit in the root, the root hash on the command line, a program of another key."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support import imagekit, qemubox
from support.imagekit import Image
from support.qemubox import QemuBox, place_of

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

SAY_SECONDS = 300.0


@pytest.fixture(scope="module")
def image() -> Image:
    imagekit.need_tools()
    return imagekit.build("1.0.0")


def copy_of(image: Image, folder: Path) -> Path:
    """Return a raw copy of the disk, to be changed."""
    made = folder / "changed.img"
    subprocess.run(["cp", "--sparse=always", str(image.disk), str(made)], check=True, timeout=120)
    return made


def flip(disk: Path, offset: int) -> None:
    """Change one bit."""
    with disk.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def replace(disk: Path, file: Path, name: str) -> None:
    """Put another file into the boot partition of slot A."""
    offset, _ = place_of("boot_a")
    subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{offset}", str(file), f"::{name}"], check=True, timeout=60)


def program(image: Image, folder: Path) -> Path:
    """Return the program of slot A."""
    made = folder / "wardgate-a.efi"
    subprocess.run(["mcopy", "-n", "-i", str(image.folder / "boot.vfat"), "::wardgate-a.efi", str(made)], check=True, timeout=60)
    return made


def boots_until(folder: Path, disk: Path, *words: str, secure_boot: bool = True) -> str:
    """Power a box on until its console says one of `words`, or a shell answers; return what it said."""
    box = QemuBox(folder, qemubox.overlay(disk, folder / "box.qcow2"), secure_boot=secure_boot)
    with qemubox.powered(box):
        deadline = time.monotonic() + SAY_SECONDS
        while time.monotonic() < deadline:
            said = box.console
            if any(word in said for word in words) or box.shell_said("READY"):
                return said + ("\nREADY" if box.shell_said("READY") else "")
            time.sleep(0.5)
    raise AssertionError(f"none of {words} within {SAY_SECONDS} s:\n{box.console[-2000:]}")


def test_one_flipped_bit_in_the_root_stops_the_start(image: Image, folder: Path) -> None:
    disk = copy_of(image, folder)
    flip(disk, place_of("root_a")[0] + 2000)
    said = boots_until(folder, disk, "Kernel panic")
    assert "dm-verity device" in said and "READY" not in said


def test_another_root_hash_on_the_command_line_is_refused_by_the_firmware(image: Image, folder: Path) -> None:
    """The attacker who writes a root of his own has to name its hash; that changes what is signed."""
    path = program(image, folder)
    content = bytearray(path.read_bytes())
    at = content.index(b" sha256 ") + 8
    content[at : at + 8] = b"00000000" if content[at : at + 8] != b"00000000" else b"11111111"
    path.write_bytes(content)
    disk = copy_of(image, folder)
    replace(disk, path, "wardgate-a.efi")
    said = boots_until(folder, disk, "slot A was refused", "no slot starts")
    assert "slot A was refused by the firmware" in said and "READY" not in said


def test_a_program_signed_by_another_key_is_refused_by_the_firmware(image: Image, folder: Path) -> None:
    unsigned, signed = folder / "unsigned.efi", folder / "signed.efi"
    path = program(image, folder)
    shutil.copyfile(path, unsigned)
    subprocess.run(["sbattach", "--remove", str(unsigned)], check=True, timeout=60)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=T4", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, timeout=60, capture_output=True)
    words = ["sbsign", "--key", str(key), "--cert", str(certificate), "--output", str(signed), str(unsigned)]
    subprocess.run(words, check=True, timeout=60, capture_output=True)
    disk = copy_of(image, folder)
    replace(disk, signed, "wardgate-a.efi")
    said = boots_until(folder, disk, "slot A was refused", "no slot starts")
    assert "slot A was refused by the firmware" in said and "READY" not in said
