"""What a package of Buildroot can only with an option, or with another package beside it: asked for where ours use it.

Without it nothing fails while it is built: systemd without libseccomp leaves every filter of system calls aside, nft has no `-j`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from imagecheck.assemble import boards, target
from imagecheck.findings import EXTERNAL, TREE, Findings


class Use(NamedTuple):
    """`folder` and `pattern`: where and how it is used; `symbol`: what it needs; `what`: it, in words."""

    folder: str
    pattern: str
    symbol: str
    what: str


_UNITS: Final = "image/common/overlay/usr/lib/systemd/system"
_CODE: Final = "firmware/wardgate"
# systemd.exec(5): each of these is a filter of system calls.
_SECCOMP: Final = (
    "SystemCallFilter|SystemCallArchitectures|RestrictAddressFamilies|RestrictNamespaces|RestrictRealtime|RestrictSUIDSGID|LockPersonality"
    "|MemoryDenyWriteExecute"
)
_USES: Final = (
    Use(_UNITS, rf"^(?:{_SECCOMP})=", "BR2_PACKAGE_LIBSECCOMP", "filters of system calls"),
    Use(_UNITS, r"^ExecStart=/usr/sbin/sshd", "BR2_PACKAGE_OPENSSH", "sshd"),
    Use(_UNITS, r"^ExecStart=/usr/bin/rauc-hawkbit-updater -s", "BR2_PACKAGE_RAUC_HAWKBIT_UPDATER", "the client of an update server"),
    Use(_CODE, r'"nft", "-j"', "BR2_PACKAGE_NFTABLES_JSON", "nft's answers as JSON"),
    Use(_CODE, r'"--output-format=json"', "BR2_PACKAGE_RAUC_JSON", "RAUC's answers as JSON"),
    Use(_CODE, r"--tpm2-device", "BR2_PACKAGE_TPM2_TSS", "a vault opened by the TPM"),
    Use(_CODE, r"--pkcs11-token-uri", "BR2_PACKAGE_P11_KIT", "a vault opened by a token"),
    Use(_CODE, r'"cryptsetup"', "BR2_PACKAGE_CRYPTSETUP", "cryptsetup"),
    Use(_CODE, r'"partx"', "BR2_PACKAGE_UTIL_LINUX_PARTX", "partx"),
    Use(_CODE, r'"sfdisk"', "BR2_PACKAGE_UTIL_LINUX_BINARIES", "sfdisk"),
    Use(_CODE, r'"mkfs.ext4"', "BR2_PACKAGE_E2FSPROGS", "mkfs.ext4"),
)


def _used(use: Use) -> Path | None:
    for path in sorted((TREE / use.folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and re.search(use.pattern, path.read_text(errors="replace"), re.M):
            return path
    return None


def check(findings: Findings) -> None:
    """Name what is used and not asked for; and a use that is in this table and nowhere else, so that the table stays true."""
    for use in _USES:
        path = _used(use)
        if path is None:
            findings.mistake(EXTERNAL, f"{use.what} ({use.symbol}) are used nowhere: the table in imagecheck.features is old")
            continue
        for board in boards():
            asked = target(board).read_text().splitlines() if target(board).is_file() else []
            if f"{use.symbol}=y" not in asked:
                findings.mistake(path, f"uses {use.what}, and {target(board).name} has no {use.symbol}")
    findings.hold(f"{len(_USES)} uses of what is optional in Buildroot's packages, each asked for")
