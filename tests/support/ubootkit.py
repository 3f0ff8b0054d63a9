"""A board that starts by U-Boot, in QEMU: its disk as `post-image.sh` makes it, and a kernel of 27 words that says what it was told.

Two loaders. *Debian's* for QEMU's arm64 machine has nothing of our configuration: it is stopped at its prompt and given our environment's
text, its disk is virtio's, and it remembers nothing. *Ours* (`UBOOT=`, `make image-uboot BOARD=qemu_aarch64_uboot`) is compiled by our
configuration: environment built in, three variables of it on the disk, which is a card, and no prompt. Both have the key by QEMU's
device tree.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest

from support.units import COMMON, TREE

sys.path.append(str(COMMON))
import layout
import uboot

BOARD = "qemu_aarch64_uboot"
DEBIANS = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
VIRT = "virt,acpi=off"  # with ACPI a machine that has firmware lacks a part that its dumped tree names
MACHINE = ("-cpu", "cortex-a57", "-m", "512", "-display", "none", "-nodefaults")
RUNS = "PAYLOAD RUNS"
TEXT = 0x4A000000  # where Debian's is given its environment
# tool -> Debian package
TOOLS = {
    "mkimage": "u-boot-tools", "mkenvimage": "u-boot-tools", "fdtput": "device-tree-compiler", "qemu-system-aarch64": "qemu-system-arm",
    "mkfs.erofs": "erofs-utils", "genimage": "genimage", "veritysetup": "cryptsetup-bin", "mcopy": "mtools", "mkfs.vfat": "dosfstools",
}  # fmt: skip


def need_tools() -> None:
    """Skip where a disk cannot be made or started."""
    if gone := [f"{tool} ({package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(gone)}")
    if not DEBIANS.exists():
        pytest.skip("no U-Boot for QEMU (apt-get install u-boot-qemu)")


def ours() -> Path | None:
    """Return the U-Boot of `UBOOT=`."""
    named = os.environ.get("UBOOT", "")
    assert not named or Path(named).is_file(), f"UBOOT={named} is not there (make image-uboot)"
    return Path(named).resolve() if named else None


def payload(*, again: bool = False) -> bytes:
    """Return an arm64 kernel image (Documentation/arch/arm64/booting.rst) that writes a line to the serial port: that it runs, and what
    stands in its device tree behind the first `rauc`, which is the command line. Then it powers off, or (`again`) the machine
    starts anew."""
    text = f"\r\n{RUNS} rauc\0".encode()
    words = [
        0xD2A12001,  # movz x1, #0x0900, lsl 16: the UART
        0xAA0003E4,  # mov x4, x0: the device tree
        0x528C2E45, 0x72AC6EA5,  # w5: "rauc"
        0x52A00207,  # movz w7, #0x10, lsl 16: a mebibyte is looked through
        0x10000002 | (22 << 5),  # adr x2, text
        0x38401443,  # ldrb w3, [x2], #1
        0x34000063,  # cbz w3, 3 words on
        0xB9000023,  # str w3, [x1]
        0x17FFFFFD,  # b 3 words back
        0x710004E7,  # subs w7, w7, #1
        0x54000140,  # b.eq 10 words on
        0x38401483,  # ldrb w3, [x4], #1
        0x53087CC6, 0x2A0360C6,  # w6: the last four bytes
        0x6B0500DF,  # cmp w6, w5
        0x54FFFF41,  # b.ne 6 words back
        0x38401483,  # ldrb w3, [x4], #1
        0x34000063,  # cbz w3, 3 words on
        0xB9000023,  # str w3, [x1]
        0x17FFFFFD,  # b 3 words back
        0x52800143, 0xB9000023,  # the line's end
        0xD2800120 if again else 0xD2800100,  # movz x0, #9 or #8
        0xF2B08000,  # movk x0, #0x8400, lsl 16: PSCI SYSTEM_RESET or SYSTEM_OFF
        0xD4000002,  # hvc #0
        0x14000000,  # b .
    ]  # fmt: skip
    head = struct.pack("<IIQQQ24s4sI", 0x14000010, 0, 0, 4096, 0xA, b"", b"ARM\x64", 0)
    return (head + struct.pack(f"<{len(words)}I", *words) + text).ljust(4096, b"\0")


def make_key(place: Path) -> Path:
    """Return the folder of a new key for FITs."""
    place.mkdir(parents=True)
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-subj", f"/CN=TEST ONLY {place.name}"]
    subprocess.run([*words, "-keyout", place / "boot.key", "-out", place / "boot.crt"], check=True, capture_output=True, timeout=60)
    return place


def machine_tree(folder: Path) -> Path:
    """Return QEMU's own device tree of the machine."""
    made = folder / "virt.dtb"
    dump = ["qemu-system-aarch64", "-machine", f"{VIRT},dumpdtb={made}", *MACHINE]
    subprocess.run(dump, check=True, capture_output=True, timeout=60)
    return made


def with_key(tree: Path, key: Path, made: Path) -> Path:
    """Return a device tree with the node that `uboot.py` makes U-Boot be compiled with."""
    text = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", tree], check=True, capture_output=True, timeout=60).stdout.decode()
    text += uboot.key(key / "boot.crt")
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", made, "-"], input=text.encode(), check=True, timeout=60)
    return made


def environment_image(size: int, variables: dict[str, bytes], flag: int) -> bytes:
    """Return one copy of U-Boot's environment as it lies on a disk. `flag`: of two copies the newer has the higher one."""
    data = listed(variables).ljust(size - 5, b"\0")
    return struct.pack("<IB", zlib.crc32(data), flag) + data


def listed(variables: dict[str, bytes]) -> bytes:
    """Return variables as an environment has them."""
    return b"".join(name.encode() + b"=" + value + b"\0" for name, value in variables.items()) + b"\0"


def parsed(text: str) -> dict[str, bytes]:
    """Return the variables of an environment's text as U-Boot's build reads it."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    whole = re.sub(r"\\\n\s*", "", lines)
    return {name: value.encode() for name, _, value in (line.partition("=") for line in whole.splitlines() if line)}


def end(machine: pexpect.spawn[str]) -> None:
    """End it. `close(force=True)` gives a machine on a busy host too little time."""
    if machine.isalive():
        machine.kill(signal.SIGKILL)
        machine.wait()
    machine.close()


class Said(NamedTuple):
    """What a run of the machine put on its console."""

    text: str

    @property
    def slots(self) -> str:
        """The slots whose kernel ran, in order."""
        return "".join(re.findall(rf"{RUNS} rauc\.slot=([AB])", self.text))


class Disk:
    """A disk, what U-Boot counts on it, and the machine that it is in."""

    def __init__(self, path: Path, control: Path, loader: Path | None) -> None:
        self.path, self.control, self.ours = path, control, loader
        self._board = layout.settings(BOARD)
        self._given = parsed(uboot.environment(BOARD, "virtio 0"))  # Debian's
        for word in (".flags", "stdin"):
            del self._given[word]

    def remember(self, variables: dict[str, bytes]) -> None:
        """Lay these variables where the loader has its environment."""
        self.give(variables)
        size, offsets = uboot.copies()
        for flag, offset in enumerate(offsets):
            self.write("env", offset, environment_image(size, variables, flag))

    def give(self, variables: Mapping[str, str | bytes]) -> None:
        """Tell Debian's U-Boot these, the disk aside."""
        self._given |= {name: value.encode() if isinstance(value, str) else value for name, value in variables.items()}

    def counts(self) -> tuple[str, ...]:
        """Return BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT as they are on the disk."""
        size, offsets = uboot.copies()
        start, _ = layout.place(uboot.LABEL, self._board)
        copies = []
        with self.path.open("rb") as file:
            for offset in offsets:
                file.seek(start + offset)
                block = file.read(size)
                if zlib.crc32(block[5:]) == struct.unpack("<I", block[:4])[0]:
                    copies.append((block[4], block[5:]))
        assert copies, "both copies are torn"
        newest = copies[0] if (copies[0][0] - copies[-1][0]) % 256 < 128 else copies[1]  # from 255 on to 0
        found = dict(item.split(b"=", 1) for item in newest[1].split(b"\0") if b"=" in item)
        return tuple(found[name.encode()].decode() for name in uboot.COUNTING)

    def write(self, partition: str, offset: int, data: bytes) -> None:
        """Write into a partition."""
        start, _ = layout.place(partition, self._board)
        with self.path.open("r+b") as file:
            file.seek(start + offset)
            file.write(data)

    def put(self, slot: str, image: bytes) -> None:
        """Lay a slot's boot partition."""
        self.write(f"boot_{slot}", 0, image)

    def run(
        self, until: str = pexpect.EOF, starts: int = 0, times: int = 1, keys: str = "", seconds: float = 300.0, words: tuple[str, ...] = ()
    ) -> Said:
        """Power on. Ends when the machine is off, when `until` was said (so many `times`), or after so many `starts` of a kernel.

        `keys`: typed all the time. `seconds`: for each of them. `words`: more of QEMU's. Raises `AssertionError` with what was said."""
        argv = ["-machine", VIRT, *MACHINE, "-dtb", str(self.control), *words]
        argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
        argv += ["-drive", f"file={self.path},if=none,id=disk,format=raw", "-bios", str(self.ours or DEBIANS)]
        text = self.path.with_suffix(".environment")
        text.write_bytes(listed(self._given))
        if self.ours is None:
            argv += ["-device", "virtio-blk-device,drive=disk", "-device", f"loader,file={text},addr={TEXT:#x},force-raw=on"]
        else:
            argv += ["-device", "sdhci-pci", "-device", "sd-card,drive=disk"]
        said, deadline = "", time.monotonic() + seconds
        box = pexpect.spawn("qemu-system-aarch64", argv, encoding="utf-8", codec_errors="replace", timeout=seconds)
        try:
            if self.ours is None:
                # It waits two seconds for a key, and a busy machine may let us wait for longer: one is there before it looks.
                while box.expect(["=> ", pexpect.TIMEOUT], timeout=0.2) == 1:
                    assert time.monotonic() < deadline, "no prompt"
                    box.send(" ")
                box.sendline(f"env import -b {TEXT:x} {text.stat().st_size:x}; run bootcmd")
            for _ in range(starts or times):
                wanted = rf"{RUNS} [^\n]*\n" if starts else until
                while keys and box.expect([wanted, pexpect.TIMEOUT], timeout=0.02) == 1:
                    box.send(keys)
                if not keys:
                    box.expect(wanted)
                said += str(box.before) + (str(box.after) if isinstance(box.after, str) else "")
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise AssertionError(f"{type(error).__name__}: {said + str(box.before)}"[-4000:]) from None
        finally:
            end(box)
        return Said(said)


class Shop:
    """Makes disks. `kernel`: of their slots. `bare`: there is more to be put into the root before one is made."""

    images: Path

    def __init__(self, folder: Path, loader: Path | None, kernel: bytes, *, bare: bool = False) -> None:
        self.folder, self.loader, self.kernel = folder, loader, kernel
        self.tree = machine_tree(folder)
        self.key = make_key(folder / "ours")
        self.control = with_key(self.tree, self.key, folder / "control.dtb")
        self.root = folder / "root"
        self.root.mkdir()
        (self.root / "filler").write_bytes(os.urandom(300_000))
        if not bare:
            self.images = self.assemble("good", self.key, kernel, self.root)

    def assemble(self, name: str, key: Path, kernel: bytes, root: Path, initramfs: Path | None = None) -> Path:
        """Have Buildroot's hook make a disk. Returns its folder of images."""
        images, host = self.folder / name, self.folder / "host"
        images.mkdir()
        (host / "bin").mkdir(parents=True, exist_ok=True)
        if not (host / "bin/python3").exists():
            (host / "bin/python3").symlink_to(sys.executable)
        (images / "Image").write_bytes(kernel)
        shutil.copyfile(self.tree, images / "virt.dtb")
        if initramfs is not None:
            shutil.copyfile(initramfs, images / "initrd.img")
        subprocess.run(["mkfs.erofs", "-zlz4hc,9", images / "rootfs.erofs", root], check=True, capture_output=True, timeout=120)
        environment = {**os.environ, "HOST_DIR": str(host), "TARGET_DIR": str(root), "BUILD_DIR": "", "WARDGATE_FIT_KEY": str(key)}
        done = subprocess.run(
            [TREE / "image/buildroot/post-image.sh", images, BOARD],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1500:]
        return images

    def disk(self, folder: Path, *, both: bool = True) -> Disk:
        """Return a new disk with the good slot in A and (as after an update) in B."""
        path = folder / "disk.img"
        subprocess.run(["cp", "--sparse=always", self.images / "wardgate.img", path], check=True, timeout=60)
        with path.open("r+b") as file:
            file.truncate(1 << 30)  # QEMU's cards are powers of two
        made = Disk(path, self.control, self.loader)
        if both:
            made.put("b", (self.images / "boot.vfat").read_bytes())
            made.write("root_b", 0, (self.images / "root.img").read_bytes())
        return made
