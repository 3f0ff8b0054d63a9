"""The whole way of a board with U-Boot, both of our configuration: U-Boot, a signed FIT with Linux, the root that Linux opens by itself.

`UBOOT=build/uboot/qemu_aarch64_uboot/u-boot.bin KERNEL=build/kernel/qemu_aarch64/Image` (`make image-uboot`, `make image-kernel`). The root
is busybox alone: it says what it was told and starts the machine again. The kernel has no driver for QEMU's card and sees the disk a
second time, as virtio's, to read.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ubootkit
from support.imagekit import BUILD, own_kernel
from support.machine import AARCH64
from support.ubootkit import Disk, Shop

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]
INIT = """\
#!/bin/busybox sh
mount -t proc proc /proc
grep -q ^Linux /proc/version && read -r line </proc/cmdline
cat /filler >/dev/null || { echo "ROOT BROKEN"; sleep 60; }
echo "ROOT RUNS $line"
echo b >/proc/sysrq-trigger
sleep 60
"""


def busybox() -> Path:
    """Return Debian's, for arm64; it is kept."""
    kept = BUILD / "busybox-arm64"
    if not kept.exists():
        if shutil.which("mmdebstrap") is None:
            pytest.skip("mmdebstrap is not installed (apt-get install mmdebstrap)")
        BUILD.mkdir(parents=True, exist_ok=True)
        words = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"]
        mirror = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.split()[0]
        folder = BUILD / "busybox-arm64.d"
        extract = ["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=extract", "--include=busybox-static"]
        subprocess.run([*extract, "bookworm", folder, f"deb {mirror} bookworm main"], check=True, capture_output=True, timeout=300)
        shutil.copy2(folder / "bin/busybox", kept)
        shutil.rmtree(folder)
    return kept


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Disks with Linux in their slots."""
    ubootkit.need_tools()
    loader, kernel = ubootkit.ours(), own_kernel(AARCH64)
    if loader is None or kernel is None:
        pytest.skip("UBOOT= and KERNEL= name no U-Boot and kernel of our configuration (make image-uboot, make image-kernel)")
    folder = tmp_path_factory.mktemp("linux")
    made = Shop(folder, loader, kernel.read_bytes(), bare=True)
    for name in ("bin", "sbin", "proc", "dev", "sys"):
        (made.root / name).mkdir()
    shutil.copy2(busybox(), made.root / "bin/busybox")
    for name in ("sh", "mount", "cat", "grep", "sleep"):
        (made.root / "bin" / name).symlink_to("busybox")
    (made.root / "sbin/init").write_text(INIT)
    (made.root / "sbin/init").chmod(0o755)
    made.images = made.assemble("good", made.key, made.kernel, made.root)
    return made


@pytest.fixture
def disk(shop: Shop, tmp_path: Path) -> Disk:
    return shop.disk(tmp_path)


def _run(disk: Disk, until: str, starts: int = 1) -> str:
    second = f"file={disk.path},if=none,id=second,format=raw,readonly=on,file.locking=off"
    words = ("-drive", second, "-device", "virtio-blk-pci,drive=second")
    return disk.run(until=until, times=starts, seconds=240, words=words).text


def _slots(said: str) -> str:
    return "".join(re.findall(r"ROOT RUNS [^\r]* rauc\.slot=([AB]) ", said))


def test_linux_opens_the_root_that_the_signed_line_names_and_three_starts_are_counted(disk: Disk) -> None:
    said = _run(disk, r"ROOT RUNS [^\n]*\n", 4)
    assert _slots(said) == "AAAB" and disk.counts() == ("A B", "0", "2")
    assert "verity 1 PARTLABEL=root_b PARTLABEL=root_b" in said.rpartition("ROOT RUNS")[2]


def test_a_bit_turned_in_the_root_is_three_starts_then_the_other_slot(shop: Shop, disk: Disk) -> None:
    root = (shop.images / "root.img").read_bytes()
    at = root.index((shop.root / "filler").read_bytes()[:64]) + 5000
    disk.write("root_a", at, bytes([root[at] ^ 1]))
    said = _run(disk, r"ROOT RUNS [^\n]*\n")
    assert _slots(said) == "B" and said.count("Wardgate: slot a") == 3
    assert disk.counts() == ("A B", "0", "2")


def test_a_bit_turned_in_the_kernel_and_the_other_slot_starts_at_once(shop: Shop, disk: Disk) -> None:
    image = bytearray((shop.images / "boot.vfat").read_bytes())
    image[image.index(shop.kernel[1 << 20 : (1 << 20) + 64])] ^= 1
    disk.put("a", bytes(image))
    said = _run(disk, r"ROOT RUNS [^\n]*\n")
    assert _slots(said) == "B" and said.count("slot a was refused") == 1
