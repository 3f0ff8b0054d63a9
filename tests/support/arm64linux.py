"""Debian's arm64 kernel, and an initramfs that does for it what ours does by itself: it opens the root as `dm-mod.create` says, by the
script `arm64-init`. Nothing of it is run here; taken apart by mmdebstrap, kept in build/image."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from support.imagekit import BUILD
from support.units import TREE

MODULES = ("virtio_pci", "virtio_blk", "dm-verity", "sha256_generic", "crc32c_generic", "libcrc32c", "erofs")
_NEEDED = re.compile(r"\(NEEDED\).*\[(.*)\]")


class Parts(NamedTuple):
    """Files for arm64."""

    kernel: Path
    initramfs: Path
    busybox: Path


def parts() -> Parts:
    """Return them; made once. Skips without the tools."""
    folder = BUILD / "arm64-linux"
    made = Parts(folder / "kernel", folder / "initramfs", folder / "busybox")
    if made.initramfs.exists():
        return made
    tools = {"mmdebstrap": "mmdebstrap", "cpio": "cpio", "modprobe": "kmod", "readelf": "binutils"}
    if gone := [f"{tool} ({package})" for tool, package in tools.items() if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(gone)}")
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    sites = _said("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian").split()
    words = ["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=extract", "--include=linux-image-arm64,busybox-static,dmsetup"]
    _said(*words, '--aptopt=APT::Install-Recommends "0"', "bookworm", tree, f"deb {sites[0]} bookworm main")
    shutil.copyfile(next(tree.glob("boot/vmlinuz-*")), made.kernel)
    shutil.copy2(tree / "bin/busybox", made.busybox)
    _initramfs(tree, folder / "ram", made.initramfs)
    shutil.rmtree(tree)
    return made


def _initramfs(tree: Path, work: Path, made: Path) -> None:
    release = next((tree / "lib/modules").iterdir()).name
    _said("depmod", "-b", tree, release)
    shutil.rmtree(work, ignore_errors=True)
    for name in ("bin", "modules", "proc", "sys", "dev", "root", "lib/aarch64-linux-gnu"):
        (work / name).mkdir(parents=True)
    order: list[str] = []
    for module in MODULES:
        for line in _said("modprobe", "-d", tree, "-S", release, "--show-depends", module).splitlines():
            if line.startswith("insmod ") and (name := Path(line.split()[1]).name) not in order:
                order.append(name)
                shutil.copyfile(line.split()[1], work / "modules" / name)
    (work / "modules/order").write_text("\n".join(order) + "\n")
    shutil.copy2(tree / "bin/busybox", work / "bin/busybox")
    wanted = [tree / "sbin/dmsetup"]
    shutil.copy2(wanted[0], work / "bin/dmsetup")
    while wanted:
        for library in _NEEDED.findall(_said("readelf", "-d", wanted.pop())):
            place = "lib" if library.startswith("ld-") else "lib/aarch64-linux-gnu"
            found = next(path for path in (base / "lib/aarch64-linux-gnu" / library for base in (tree, tree / "usr")) if path.exists())
            if not (work / place / library).exists():
                shutil.copy2(found, work / place / library)
                wanted.append(found)
    init = (TREE / "tests/support/arm64-init").read_text()
    init = init.replace("mount -t squashfs", "mount -t erofs").replace("/usr/lib/systemd/systemd", "/sbin/init")
    (work / "init").write_text(init)
    (work / "init").chmod(0o755)
    with made.open("wb") as file:
        listed = _said("find", ".", cwd=work)
        words = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(words, cwd=work, input=listed.encode(), stdout=file, check=True, timeout=60)


def _said(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stderr[-1000:]}"
    return done.stdout
