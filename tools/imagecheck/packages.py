"""Packages of ours: a licence, a hash for what is downloaded; and hashes for the versions that we name ourselves."""

from __future__ import annotations

import re

from imagecheck.assemble import boards, target
from imagecheck.findings import EXTERNAL, Findings

_HASH = re.compile(r"^sha256  [0-9a-f]{64}  \S+$")
# Symbol that names a version, the folder of its hash below patches/, the start of the file's name.
_VERSIONS = (
    ("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE", "linux", "linux-"),
    ("BR2_TARGET_ARM_TRUSTED_FIRMWARE_CUSTOM_VERSION_VALUE", "arm-trusted-firmware", "arm-trusted-firmware-"),
    ("BR2_TARGET_UBOOT_CUSTOM_VERSION_VALUE", "uboot", "u-boot-"),
)


def check(findings: Findings) -> None:
    """Name what is missing."""
    folders = sorted(path for path in (EXTERNAL / "package").iterdir() if path.is_dir())
    for folder in folders:
        makefile = folder / f"{folder.name}.mk"
        if not makefile.is_file() or not (folder / "Config.in").is_file():
            findings.mistake(folder, f"needs {folder.name}.mk and Config.in")
            continue
        text, prefix = makefile.read_text(), folder.name.upper().replace("-", "_")
        if not re.search(rf"^{prefix}_LICENSE = \S", text, re.M):
            findings.mistake(makefile, f"{prefix}_LICENSE is missing")
        local = re.search(rf"^{prefix}_SITE_METHOD = local$", text, re.M)
        if not local and not (folder / f"{folder.name}.hash").is_file():
            findings.mistake(folder, "is downloaded and has no hash file")
        if f"package/{folder.name}/Config.in" not in (EXTERNAL / "Config.in").read_text():
            findings.mistake(EXTERNAL / "Config.in", f"does not name {folder.name}")
    hashes = sorted([*EXTERNAL.glob("package/*/*.hash"), *EXTERNAL.glob("patches/*/*.hash")])
    for path in hashes:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line and not line.startswith("#") and not _HASH.match(line):
                findings.mistake(path, f"line {number}: not `sha256  HASH  FILE`")
    for board in boards():
        _named_versions(board, findings)
    findings.hold(f"{len(folders)} package, {len(hashes)} hash files")


def _named_versions(board: str, findings: Findings) -> None:
    text = target(board).read_text() if target(board).is_file() else ""
    for symbol, folder, start in _VERSIONS:
        found = re.search(rf'^{symbol}="([^"]+)"$', text, re.M)
        path = EXTERNAL / "patches" / folder / f"{folder}.hash"
        if found and not (path.is_file() and re.search(rf"  {re.escape(start + found[1])}[.-]", path.read_text())):
            findings.mistake(path, f"has no hash of {start}{found[1]}")
