"""Who changes the disk gets nothing started: a bit in the root, the root hash on the command line, a program of another key.

Who changes the firmware's tables (SMBIOS), or lays files beside the signed program, tells systemd nothing.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support import imagekit, qemubox
from support.imagekit import Image
from support.qemubox import QemuBox, place_of

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

SAY_SECONDS = 300.0
# A credential that has systemd-tmpfiles make a file at the start. Who has one made in /run has a program run: udev reads rules there.
MAKES = "f /run/made-by-{} 0644 root root - -"
WORDS = "wardgate.extra=1"
STRINGS = (
    f"io.systemd.credential.binary:tmpfiles.extra={base64.b64encode(MAKES.format('smbios').encode()).decode()}",
    f"io.systemd.stub.kernel-cmdline-extra={WORDS}",
)
LOOKS = {
    "strings": r"grep -ao 'io\.systemd\.[a-z.-]*' /sys/firmware/dmi/tables/DMI",
    "line": "cat /proc/cmdline",
    "taken": "find /run -path '/run/credentials/@*' -o -name 'made-by-*'",
    "boot": "mkdir -p /run/boot && mount -o ro /dev/disk/by-partlabel/boot_a /run/boot && find /run/boot -name '*.cred'",
}


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
    said = boots_until(folder, disk, "slot A was refused by the firmware", "no slot starts")
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
    said = boots_until(folder, disk, "slot A was refused by the firmware", "no slot starts")
    assert "slot A was refused by the firmware" in said and "READY" not in said


@pytest.fixture(scope="module")
def told(image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a box says that was told more than what is signed: by two strings of the firmware's, by two files beside its program."""
    folder = tmp_path_factory.mktemp("told")
    disk, credential = copy_of(image, folder), folder / "tmpfiles.extra.cred"
    offset, _ = place_of("boot_a")
    for place in ("wardgate-a.efi.extra.d", "loader/credentials"):
        credential.write_text(MAKES.format(place.partition("/")[0]) + "\n")
        made = [str(parent) for parent in reversed(Path(place).parents) if str(parent) != "."]
        for name in (*made, place):
            subprocess.run(["mmd", "-i", f"{disk}@@{offset}", f"::{name}"], check=True, timeout=60)
        subprocess.run(["mcopy", "-i", f"{disk}@@{offset}", str(credential), f"::{place}"], check=True, timeout=60)
    devices = ("-smbios", "type=11," + ",".join(f"value={string}" for string in STRINGS))
    with qemubox.powered(QemuBox(folder, qemubox.overlay(disk, folder / "box.qcow2"), devices=devices)) as box:
        box.wait_shell()
        return {name: box.run(command)[1] for name, command in LOOKS.items()}


def test_a_credential_from_firmware_or_disk_is_not_taken(told: dict[str, str]) -> None:
    assert "io.systemd.credential" in told["strings"] and told["boot"].count(".cred") == 2, "the box was told nothing"
    assert told["taken"].split() == []


def test_the_firmwares_tables_add_nothing_to_the_signed_command_line(image: Image, told: dict[str, str]) -> None:
    """The program of a release, whose stub has our patch."""
    found = re.search(rb"LoaderInfo: systemd-stub (\d+)", (image.folder / "stub.efi").read_bytes())
    assert found is not None
    if int(found[1]) < 254:
        pytest.skip(f"systemd's stub here is of release {int(found[1])}, which asks no firmware for words (254 does)")
    if not any(os.environ.get(name) for name in ("IMAGE", "WARDGATE_STUB")):
        pytest.skip(
            f"the stub is the building machine's ({int(found[1])}), which is not patched as the product's is (IMAGE=, WARDGATE_STUB=)"
        )
    assert "io.systemd.stub.kernel-cmdline-extra" in told["strings"]
    assert WORDS not in told["line"]
