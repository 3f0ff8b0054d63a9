"""A release lets nobody in: no login on any console, no boot loader that is talked to, a kernel that is locked down, flags that harden."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imagecheck import kernel
from imagecheck.assemble import boards, settings, target
from imagecheck.resolve import values
from support.units import COMMON, OVERLAY, TREE, UNITS

BOOT = TREE / "image/common/boot"
MASKED = {line for line in (COMMON / "masked").read_text().splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("board", boards())
def test_a_release_has_no_login_and_no_way_in(board: str) -> None:
    said = values(target(board).read_text())
    for symbol in ("BR2_TARGET_GENERIC_GETTY", "BR2_TARGET_ENABLE_ROOT_LOGIN", "BR2_TARGET_GENERIC_REMOUNT_ROOTFS_RW"):
        assert said[symbol] == "n"
    doors = ("DROPBEAR", "TELNETD", "GDB", "STRACE", "AGETTY", "SUDO", "BASH", "SOCAT", "BUSYBOX_SHOW_OTHERS")
    assert not [name for name in said if said[name] == "y" and name.removeprefix("BR2_PACKAGE_").startswith(doors)]


def test_the_ssh_server_of_management_is_started_by_policy_alone() -> None:
    preset = (OVERLAY / "usr/lib/systemd/system-preset/00-wardgate.preset").read_text().splitlines()
    assert not [line for line in preset if line.startswith("enable") and "ssh" in line]
    assert preset[-1] == "disable *"


def test_every_getty_and_rescue_shell_is_masked() -> None:
    assert {
        *("getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service"),
        *("debug-shell.service", "emergency.service", "rescue.service", "ctrl-alt-del.target"),
    } <= MASKED


def test_no_unit_of_ours_reads_from_a_terminal_or_starts_a_shell() -> None:
    for path in UNITS.rglob("*.service"):
        text = path.read_text()
        assert not re.search(r"^StandardInput=tty|^Exec\w+=.*/(?:ba)?sh\b|^Exec\w+=.*agetty|^Exec\w+=.*sulogin", text, re.M), path.name


@pytest.mark.parametrize("path", sorted(BOOT.iterdir()), ids=lambda path: path.name)
def test_the_boot_scripts_give_no_shell_and_no_debugging(path: Path) -> None:
    text = path.read_text()
    for word in (
        "init=",
        "systemd.debug",
        "rd.break",
        "single",
        "sysrq_always_enabled",
        "systemd.unit=rescue",
        "nokaslr",
        "mitigations=off",
    ):
        assert word not in text


@pytest.mark.parametrize("board", boards())
def test_the_kernel_is_locked_down_and_hardened(board: str) -> None:
    said = kernel.words(kernel.fragments(board))
    for name in (
        *("SECURITY_LOCKDOWN_LSM", "SECURITY_LOCKDOWN_LSM_EARLY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY", "MODULE_SIG_FORCE"),
        *("STRICT_KERNEL_RWX", "STACKPROTECTOR_STRONG", "RANDOMIZE_BASE", "HARDENED_USERCOPY", "FORTIFY_SOURCE", "LIST_HARDENED"),
    ):
        assert said[name] == "y", name
    for name in ("DEVMEM", "PROC_KCORE", "KEXEC", "KEXEC_FILE", "HIBERNATION", "MAGIC_SYSRQ", "BINFMT_MISC"):
        assert said[name] == "n", name


@pytest.mark.parametrize("board", boards())
def test_what_the_box_needs_of_its_kernel_is_asked_for(board: str) -> None:
    said = kernel.words(kernel.fragments(board))
    for name in (
        *("BRIDGE", "BRIDGE_NETFILTER", "NF_TABLES_BRIDGE", "NFT_TPROXY", "NF_CONNTRACK_BRIDGE", "TLS"),
        *("DM_VERITY", "DM_CRYPT", "DM_INIT", "OVERLAY_FS", "EROFS_FS", "SQUASHFS", "USB", "TCG_TPM"),
    ):
        assert said[name] == "y", name


@pytest.mark.parametrize("board", boards())
def test_a_board_with_a_tpm_has_its_driver_in_the_kernel(board: str) -> None:
    """As board.toml says it and the table of boards does."""
    driver = settings(board).get("tpm_driver")
    row = next(line for line in (TREE / "board/README.md").read_text().splitlines() if line.startswith(f"| `{board}` |"))
    assert (row.split("|")[4].strip() == "none") == (driver is None)
    if driver is None:
        assert 'unlock = ["pkcs11"]' in row and 'unlock = ["pkcs11"]' in (TREE / "docs/first-boot.md").read_text()
    else:
        assert kernel.words(kernel.fragments(board))[str(driver)] == "y"


@pytest.mark.parametrize("board", boards())
def test_programs_are_built_hardened(board: str) -> None:
    said = values(target(board).read_text())
    assert all(said[name] == "y" for name in ("BR2_PIC_PIE", "BR2_SSP_STRONG", "BR2_RELRO_FULL", "BR2_FORTIFY_SOURCE_2"))


def test_the_kernel_settings_hide_and_restrict() -> None:
    said = dict(
        line.replace(" ", "").split("=") for line in (OVERLAY / "usr/lib/sysctl.d/90-wardgate.conf").read_text().splitlines() if "=" in line
    )
    assert said["kernel.sysrq"] == "0"
    assert said["kernel.kptr_restrict"] == "2"
