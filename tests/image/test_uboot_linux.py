"""The whole way of a board with U-Boot: U-Boot of our configuration, a signed FIT with Linux, the root that its command line names.

`UBOOT=build/uboot/qemu_aarch64_uboot/u-boot.bin` (`make image-uboot`). The kernel is Debian's, whose initramfs is in the FIT and opens
the root as `dm-mod.create` says; with `KERNEL=build/kernel/qemu_aarch64/Image` (`make image-kernel`) it is ours, which opens it by
itself. The root is busybox alone: it says what it was told and starts the machine again. The kernel has no driver for QEMU's card and
sees the disk a second time, as virtio's, to read.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support import arm64linux, ubootkit
from support.imagekit import own_kernel
from support.machine import AARCH64
from support.ubootkit import Disk, Shop

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]
INIT = """\
#!/bin/busybox sh
mount -t proc proc /proc
grep -q ^Linux /proc/version && read -r line </proc/cmdline
cat /filler >/dev/null || { echo "ROOT BROKEN"; sleep 60; }
echo "ROOT RUNS $line"
sleep 2 # until it is out
echo b >/proc/sysrq-trigger
sleep 60
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Disks with Linux in their slots."""
    ubootkit.need_tools()
    loader, kernel = ubootkit.ours(), own_kernel(AARCH64)
    if loader is None:
        pytest.skip("UBOOT= names no U-Boot of our configuration (make image-uboot BOARD=qemu_aarch64_uboot)")
    linux = arm64linux.parts()
    made = Shop(tmp_path_factory.mktemp("linux"), loader, (kernel or linux.kernel).read_bytes(), bare=True)
    for name in ("bin", "sbin", "proc", "dev", "sys"):
        (made.root / name).mkdir()
    shutil.copy2(linux.busybox, made.root / "bin/busybox")
    for name in ("sh", "mount", "cat", "grep", "sleep"):
        (made.root / "bin" / name).symlink_to("busybox")
    (made.root / "sbin/init").write_text(INIT)
    (made.root / "sbin/init").chmod(0o755)
    made.images = made.assemble("good", made.key, made.kernel, made.root, None if kernel else linux.initramfs)
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
