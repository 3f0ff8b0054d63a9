"""Buildroot's hook `post-image.sh`, on a layout as Buildroot has it then: what it signs and lays out, for a board of either loader.

Kernel and loader are stood in for by bytes, the NanoPi's device tree by another machine's: nothing is booted here. Roots are real,
tools are this machine's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import imagekit, ubootkit
from support.machine import X86_64
from support.qemubox import place_of
from support.ubootkit import layout, uboot
from support.units import TREE
from wardtools.release.cli import main as release

HOOK = TREE / "image/buildroot/post-image.sh"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
LAYOUT = TREE / "image/debian/as-buildroot.sh"
PARTS = {"Image": 70_000, "idbloader.img": 9_000, "u-boot.itb": 20_000}
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
    assert f"dm-mod.waitfor={device}" in line and f"rauc.slot={slot.upper()}" in line
    assert {"lockdown=confidentiality", "systemd.import_credentials=no", "TERM=dumb"} <= set(line.split())
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


@pytest.mark.parametrize("missing", ["KEY", "CERTIFICATE"])
def test_a_boot_key_that_is_named_and_not_there_is_an_error_and_no_development_key_gets_its_name(tmp_path: Path, missing: str) -> None:
    there = tmp_path / "there"
    there.write_text("PEM")
    names = {"WARDGATE_BOOT_KEY": str(there), "WARDGATE_BOOT_CERTIFICATE": str(there), f"WARDGATE_BOOT_{missing}": str(tmp_path / "away")}
    argv = [TREE / "image/common/assemble.sh", "qemu_x86_64", tmp_path]
    done = subprocess.run(argv, env={**os.environ, **names}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and f"there is no '{tmp_path}/away'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and there.read_text() == "PEM"


def test_grub_says_its_revocation_level_and_the_version_of_its_own_builder(tmp_path: Path) -> None:
    for tool in ("grub-mkimage", "objcopy"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not Path("/usr/lib/grub/x86_64-efi").is_dir():
        pytest.skip("no GRUB for x86 with UEFI (apt-get install grub-efi-amd64-bin)")
    _run(TREE / "image/common/loader.sh", "/usr/lib/grub/x86_64-efi", "x86_64-efi", tmp_path / "grub.efi")
    _run("objcopy", "--dump-section", f".sbat={tmp_path / 'sbat'}", tmp_path / "grub.efi", tmp_path / "copy.efi")
    version = _run("grub-mkimage", "--version").split()[-1]
    assert f"grub,5,Free Software Foundation,grub,{version},https:" in (tmp_path / "sbat").read_text()
    assert "@" not in (tmp_path / "sbat").read_text()


def test_programs_for_arm64_are_put_together_by_the_toolchains_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's objcopy may know programs of its own architecture alone."""
    hook, host, images, root = (tmp_path / name for name in ("image/buildroot/post-image.sh", "host", "images", "root"))
    for path in (hook, host / "bin/aarch64-none-linux-gnu-objcopy", images / "rootfs.erofs", root / "usr/lib/os-release"):
        path.parent.mkdir(parents=True)
        path.touch()
    shutil.copy(HOOK, hook)
    (hook.parent / "board").symlink_to(TREE / "board")
    for name in ("Image", "shimaa64.efi"):
        (images / name).touch()
    programs = {
        host / "bin/grub-mkimage": f'[ $# = 1 ] && echo "grub-mkimage (GRUB) 2.12" || cp "${{10}}" {tmp_path}/sbat',
        host / "bin/aarch64-none-linux-gnu-objcopy": "",
        host / "bin/aarch64-none-linux-gnu-objdump": "",
        tmp_path / "image/common/assemble.sh": 'printf "%s\\n" "$OBJCOPY" "$OBJDUMP"',
    }
    for path, text in programs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    shutil.copytree(TREE / "image/common/boot", tmp_path / "image/common/boot")
    for name in ("loader.sh", "board.sh"):
        shutil.copy(TREE / "image/common" / name, tmp_path / "image/common" / name)
    words = {"HOST_DIR": host, "TARGET_DIR": root, "BUILD_DIR": tmp_path, "WARDGATE_STUB": images / "Image"}
    for tool in ("OBJCOPY", "OBJDUMP"):
        monkeypatch.delenv(tool, raising=False)
    said = _run(hook, images, "qemu_aarch64", **{name: str(value) for name, value in words.items()})
    assert said.split() == [str(host / f"bin/aarch64-none-linux-gnu-{tool}") for tool in ("objcopy", "objdump")]
    assert ",grub,2.12,https:" in (tmp_path / "sbat").read_text()


def test_a_boot_key_in_a_token_signs_through_openssls_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    for file in (*X86_64.needs, SOFTHSM, "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so"):
        if not Path(file).exists():
            pytest.skip(f"{file} is not there")
    out, certificate = tmp_path / "out", tmp_path / "boot.pem"
    for folder in (out, tmp_path / "tokens", tmp_path / "kernel"):
        folder.mkdir()
    (tmp_path / "kernel/bzImage").write_bytes(os.urandom(50_000))
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    words = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=boot")
    _run(*words, "-keyout", tmp_path / "k.pem", "-out", certificate)
    _run("softhsm2-util", "--init-token", "--free", "--label", "boot", "--so-pin", "1234", "--pin", "1234")
    _run("softhsm2-util", "--import", tmp_path / "k.pem", "--token", "boot", "--label", "boot", "--id", "01", "--pin", "1234")
    (tmp_path / "k.pem").unlink()
    (tmp_path / "pin").write_text("1234")  # the engine takes the end of a line for part of it
    key = f"pkcs11:token=boot;object=boot;type=private;pin-source=file:{tmp_path}/pin"
    _run(
        *(LAYOUT, root, tmp_path / "kernel/bzImage", "qemu_x86_64", out),
        WARDGATE_BOOT_KEY=key, WARDGATE_BOOT_CERTIFICATE=str(certificate), PKCS11_MODULE_PATH=SOFTHSM,
    )  # fmt: skip
    _run("mcopy", "-i", out / "boot.vfat", "::wardgate-a.efi", tmp_path / "a.efi")
    assert "verification OK" in _run("sbverify", "--cert", certificate, tmp_path / "a.efi")


def test_another_boards_kernel_is_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "Image").write_bytes(b"arm64")
    done = subprocess.run(
        [LAYOUT, root, tmp_path / "Image", "qemu_x86_64", tmp_path], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1 and "KERNEL= is no bzImage" in done.stderr


def _nanopi(tmp_path: Path, root: Path, key: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder of images as Buildroot leaves it for the NanoPi R2S, and the environment of the hook."""
    images, host = tmp_path / "images", tmp_path / "host"
    images.mkdir()
    (host / "bin").mkdir(parents=True)
    (host / "bin/python3").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    for name, size in PARTS.items():
        (images / name).write_bytes(os.urandom(size))
    shutil.copyfile(ubootkit.machine_tree(tmp_path), images / "rk3328-nanopi-r2s.dtb")
    _run("mkfs.erofs", "-zlz4hc,9", images / "rootfs.erofs", root)
    return images, {"HOST_DIR": str(host), "TARGET_DIR": str(root), "BUILD_DIR": str(tmp_path), "WARDGATE_FIT_KEY": str(key)}


def test_for_a_board_with_uboot_one_signed_fit_is_for_both_slots_and_loaders_lie_where_they_are_read(tmp_path: Path, root: Path) -> None:
    ubootkit.need_tools()
    images, environment = _nanopi(tmp_path, root, ubootkit.make_key(tmp_path / "key"))
    _run(HOOK, images, "nanopi_r2s", **environment)
    _run("mcopy", "-i", images / "boot.vfat", "::wardgate.itb", tmp_path / "copy.itb")
    fit = (tmp_path / "copy.itb").read_bytes()
    assert fit == (images / "wardgate.itb").read_bytes() and (images / "Image").read_bytes() in fit
    for slot, line in zip("ab", re.findall(rb"root=/dev/dm-0 ro [^\0]*", fit), strict=True):
        assert b"console=ttyS2,1500000" in line
        _holds(images / "root.img", line.decode(), slot)
        assert _run("fdtget", images / "wardgate.itb", f"/configurations/{slot}/signature-1", "key-name-hint").strip() == "boot"
    size, copies = uboot.copies()
    board = layout.settings("nanopi_r2s")
    with (images / "wardgate.img").open("rb") as disk:
        for offset, name in ((32 << 10, "idbloader.img"), (8 << 20, "u-boot.itb")):
            disk.seek(offset)
            assert disk.read(PARTS[name]) == (images / name).read_bytes()
        for name, part in {"boot.vfat": "boot_a", "root.img": "root_a"}.items():
            disk.seek(layout.place(part, board)[0])
            assert disk.read((images / name).stat().st_size) == (images / name).read_bytes()
        for offset in copies:
            disk.seek(layout.place("env", board)[0] + offset)
            assert b"BOOT_ORDER=A B\0BOOT_A_LEFT=3\0BOOT_B_LEFT=3\0\0" in disk.read(size)


def test_an_update_of_a_board_with_uboot_is_a_bundle_as_any(tmp_path: Path, root: Path) -> None:
    ubootkit.need_tools()
    if shutil.which("rauc") is None:
        pytest.skip("rauc is not installed (apt-get install rauc)")
    images, environment = _nanopi(tmp_path, root, ubootkit.make_key(tmp_path / "key"))
    _run(HOOK, images, "nanopi_r2s", **environment)
    who = imagekit.authority(tmp_path / "ca")
    words = ["sign", images / "bundle", tmp_path / "update.raucb", "--compatible", "wardgate-nanopi-r2s", "--version", "1.2.3"]
    assert release([str(word) for word in (*words, "--certificate", who.certificate, "--unsafe-key-file", who.key)]) == 0
    keyring = f"[keyring]\npath={who.anchor}\ncheck-purpose=codesign\n"
    (tmp_path / "rauc.conf").write_text(f"[system]\ncompatible=wardgate-nanopi-r2s\nbootloader=noop\n{keyring}")
    said = _run("rauc", f"--conf={tmp_path / 'rauc.conf'}", "info", tmp_path / "update.raucb")
    assert "'wardgate-nanopi-r2s'" in said and "boot.vfat" in said and "root.img" in said


def test_no_disk_is_made_whose_slots_its_own_uboot_would_not_start(tmp_path: Path, root: Path) -> None:
    """Of the tree that U-Boot was compiled with, U-Boot's own verifier says it (`fit_check_sign`, which `make image-uboot` leaves
    beside)."""
    loader = ubootkit.ours()
    check = loader.with_name("fit_check_sign") if loader else None
    if check is None or not check.exists():
        pytest.skip("UBOOT= names no U-Boot of our configuration (make image-uboot BOARD=qemu_aarch64_uboot)")
    ubootkit.need_tools()
    key, other = ubootkit.make_key(tmp_path / "key"), ubootkit.make_key(tmp_path / "other")
    images, environment = _nanopi(tmp_path, root, key)
    environment["WARDGATE_FIT_CHECK"] = str(check)
    ubootkit.with_key(images / "rk3328-nanopi-r2s.dtb", key, images / "u-boot.dtb")
    _run(HOOK, images, "nanopi_r2s", **environment)
    (images / "wardgate.img").unlink()
    ubootkit.with_key(images / "rk3328-nanopi-r2s.dtb", other, images / "u-boot.dtb")
    words = [str(HOOK), str(images), "nanopi_r2s"]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1 and "it would start nothing" in done.stderr and not (images / "wardgate.img").exists()
