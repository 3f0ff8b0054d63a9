"""Buildroot's hook `post-image.sh`, on a layout as Buildroot has it then: what it signs and lays out, for a board of either loader.

Kernel, loader and device tree are stood in for by bytes: nothing is booted here. Roots are real, tools are this machine's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.machine import X86_64
from support.qemubox import place_of
from support.units import TREE

HOOK = TREE / "image/buildroot/post-image.sh"
LAYOUT = TREE / "image/debian/as-buildroot.sh"
# tool -> Debian package
TOOLS = {
    "mkfs.erofs": "erofs-utils", "mkimage": "u-boot-tools", "genimage": "genimage", "veritysetup": "cryptsetup-bin", "sbsign": "sbsigntool",
    "mcopy": "mtools", "mkfs.vfat": "dosfstools", "grub-mkimage": "grub-common", "objcopy": "binutils",
}  # fmt: skip
CREATE = re.compile(r'dm-mod\.create="root,,,ro,0 (\d+) verity 1 (\S+) \2 4096 4096 (\d+) (\d+) sha256 ([0-9a-f]{64}) ([0-9a-f]+) 1 panic')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a version and something in it."""
    if gone := [f"{tool} ({package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(gone)}")
    made = tmp_path / "root"
    (made / "usr/lib").mkdir(parents=True)
    (made / "usr/lib/os-release").write_text('ID=wardgate\nIMAGE_VERSION=1.2.3\nPRETTY_NAME="Wardgate"\n')
    (made / "usr/lib/filler").write_bytes(os.urandom(300_000))
    return made


def _run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-500:]} {done.stderr[-1500:]}"
    return done.stdout


def _holds(image: Path, line: str, slot: str) -> None:
    """The command line opens the root of its own slot, and its hash is that of the image."""
    found = CREATE.search(line)
    assert found is not None, line
    sectors, device, blocks, start, root_hash, _salt = found.groups()
    assert (device, int(sectors), int(start)) == (f"PARTLABEL=root_{slot}", int(blocks) * 8, int(blocks) + 1)
    assert f"dm-mod.waitfor={device}" in line and f"rauc.slot={slot.upper()}" in line and "lockdown=confidentiality" in line
    _run("veritysetup", "verify", image, image, root_hash, f"--hash-offset={int(blocks) * 4096}")
    assert image.stat().st_size < place_of(f"root_{slot}", X86_64)[1]


def test_for_a_board_with_uefi_each_slot_has_one_signed_program_without_an_initramfs(tmp_path: Path, root: Path) -> None:
    for file, package in X86_64.needs.items():
        if not Path(file).exists():
            pytest.skip(f"{file} is not there (apt-get install {package})")
    kernel, out = tmp_path / "kernel" / "bzImage", tmp_path / "out"
    kernel.parent.mkdir()
    kernel.write_bytes(os.urandom(100_000))
    out.mkdir()
    (out / "initrd.img").write_bytes(b"of another image")
    _run(LAYOUT, root, kernel, "qemu_x86_64", out)
    boot = tmp_path / "boot"
    boot.mkdir()
    _run("mcopy", "-s", "-i", out / "boot.vfat", "::/*", boot)
    assert sorted(path.name for path in boot.iterdir()) == ["wardgate-a.efi", "wardgate-b.efi"]
    for slot in "ab":
        program = boot / f"wardgate-{slot}.efi"
        _run("sbverify", "--cert", out / "boot-certificate.pem", program)
        for section in ("cmdline", "linux", "osrel"):
            _run("objcopy", "--dump-section", f".{section}={tmp_path / section}", program, tmp_path / "copy.efi")
        assert ".initrd" not in _run("objdump", "-h", program)
        assert (tmp_path / "linux").read_bytes()[:100_000] == kernel.read_bytes()
        assert "IMAGE_VERSION=1.2.3" in (tmp_path / "osrel").read_text()
        _holds(out / "root.img", (tmp_path / "cmdline").read_text(), slot)
    offset, _ = place_of("root_a", X86_64)
    with (out / "wardgate.img").open("rb") as disk:
        disk.seek(offset)
        assert disk.read((out / "root.img").stat().st_size) == (out / "root.img").read_bytes()


def test_another_boards_kernel_is_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "Image").write_bytes(b"arm64")
    done = subprocess.run(
        [LAYOUT, root, tmp_path / "Image", "qemu_x86_64", tmp_path], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1 and "KERNEL= is no bzImage" in done.stderr


def test_for_a_board_with_uboot_loaders_script_and_both_command_lines_lie_where_they_are_read(tmp_path: Path, root: Path) -> None:
    images, host = tmp_path / "images", tmp_path / "host"
    images.mkdir()
    (host / "bin").mkdir(parents=True)
    (host / "bin/python3").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    parts = {"Image": 70_000, "rk3328-nanopi-r2s.dtb": 3_000, "idbloader.img": 9_000, "u-boot.itb": 20_000}
    for name, size in parts.items():
        (images / name).write_bytes(os.urandom(size))
    _run("mkfs.erofs", "-zlz4hc,9", images / "rootfs.erofs", root)
    _run(HOOK, images, "nanopi_r2s", HOST_DIR=str(host), TARGET_DIR=str(root), BUILD_DIR=str(tmp_path))
    for slot in "ab":
        boot = tmp_path / f"boot_{slot}"
        boot.mkdir()
        _run("mcopy", "-s", "-i", images / f"boot_{slot}.vfat", "::/*", boot)
        assert (boot / "Image").read_bytes() == (images / "Image").read_bytes()
        assert (boot / "board.dtb").read_bytes() == (images / "rk3328-nanopi-r2s.dtb").read_bytes()
        line = (boot / "cmdline.txt").read_text()
        assert line.startswith("bootargs=root=/dev/dm-0 ro ") and "console=ttyS2,1500000" in line
        _holds(images / "root.img", line, slot)
    assert "boot.scr" in _run("mdir", "-b", "-i", images / "esp.vfat", "::")
    with (images / "wardgate.img").open("rb") as disk:
        for offset, name in ((32 << 10, "idbloader.img"), (8 << 20, "u-boot.itb")):
            disk.seek(offset)
            assert disk.read(parts[name]) == (images / name).read_bytes()
