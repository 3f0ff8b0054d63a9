"""The machines in QEMU that a box's image is for: what is said to QEMU, and what the image is built from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """`code`, `variables`: firmware with Secure Boot on and its test key; `open_variables`: the same with Secure Boot off. `shell`: what
    joins QEMU's chardev "shell" to a terminal of the box; `terminal`: its name there. `needs`: files -> Debian package that the machine
    which builds must have."""

    board: str
    compatible: str
    program: str
    words: tuple[str, ...]
    code: str
    variables: str
    open_variables: str
    shell: tuple[str, ...]
    terminal: str
    needs: dict[str, str]


X86_64 = Machine(
    "qemu_x86_64",
    "wardgate-qemu-x86_64",
    "qemu-system-x86_64",
    ("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-cpu", "max"),
    "/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd",
    "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
    "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ("-serial", "chardev:shell"),
    "ttyS1",
    {
        "/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd": "ovmf",
        "/usr/share/ovmf/PkKek-1-snakeoil.key": "ovmf",
        "/usr/lib/systemd/boot/efi/linuxx64.efi.stub": "systemd-boot-efi",
        "/usr/lib/shim/shimx64.efi": "shim-unsigned",
        "/usr/lib/grub/x86_64-efi/chain.mod": "grub-efi-amd64-bin",
    },
)
# QEMU's virt has one serial port that software outside the secure world sees.
AARCH64 = Machine(
    "qemu_aarch64",
    "wardgate-qemu-aarch64",
    "qemu-system-aarch64",
    ("-machine", "virt", "-cpu", "cortex-a57"),
    "/usr/share/AAVMF/AAVMF_CODE.snakeoil.fd",
    "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd",
    "/usr/share/AAVMF/AAVMF_VARS.fd",
    ("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"),
    "hvc0",
    {
        "/usr/share/AAVMF/AAVMF_CODE.snakeoil.fd": "qemu-efi-aarch64",
        "/usr/share/ovmf/PkKek-1-snakeoil.key": "ovmf",  # the same key
        "/usr/bin/qemu-aarch64-static": "qemu-user-static",
        "/usr/bin/arch-test": "arch-test",
        "/usr/bin/aarch64-linux-gnu-objcopy": "binutils-aarch64-linux-gnu",
        "/usr/bin/aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
        "/usr/aarch64-linux-gnu/include/linux/dm-ioctl.h": "linux-libc-dev-arm64-cross",
        "/usr/bin/qemu-system-aarch64": "qemu-system-arm",
    },
)


def missing(machine: Machine) -> str | None:
    """Return why an image for this machine cannot be built or booted here."""
    for file, package in machine.needs.items():
        if not Path(file).exists():
            return f"{file} is not there (apt-get install {package})"
    if machine is AARCH64:
        try:
            known = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").read_text().startswith("enabled")
        except OSError:
            known = False
        if not known:
            return "this kernel runs no arm64 programs (mount binfmt_misc, and register what /usr/lib/binfmt.d/qemu-aarch64.conf says)"
    return None
