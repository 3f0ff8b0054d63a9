"""Refuses a root whose programs were not linked as asked for: `hardened.py ROOT`. A configuration has words, this looks at the files.

Programs that read what others send: at random addresses (PIE), every address of a library bound at the start (BIND_NOW) and then
read-only (RELRO), no stack that runs. Our module of OpenSSL also with checked stacks and checked copies (FORTIFY). Which of them must be
there is needed.sh's. Layout: the System V gABI's ELF, 64 bits little-endian; p_type and DT_FLAGS_1 as glibc's elf.h.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("python3", "nft", "rauc", "rauc-hawkbit-updater", "pcscd", "sshd", "dbus-daemon", "cryptsetup", "systemd-networkd", "systemd")
_PLACES = ("usr/bin", "usr/sbin", "usr/libexec", "usr/lib/systemd")
_LIBRARIES = ("usr/lib/libpython3*.so*",)
_MODULE = "usr/lib/**/ossl-modules/wardkeys.so"
# What a distribution's own programs are known to lack, by ID of os-release (image/debian/differences.md).
KNOWN = {"debian": {"python3": {"PIE", "BIND_NOW"}}}

_ET_DYN = 3
_PT_DYNAMIC, _PT_INTERP, _PT_GNU_STACK, _PT_GNU_RELRO = 2, 3, 0x6474E551, 0x6474E552
_PF_X = 1
_DT_BIND_NOW, _DT_FLAGS, _DT_FLAGS_1 = 24, 30, 0x6FFFFFFB
_DF_BIND_NOW, _DF_1_NOW = 8, 1


def has(path: Path) -> set[str]:
    """Return what a program or library was linked with. Raises `ValueError` for what is no ELF of 64 bits, or cut short."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no ELF of 64 bits, little-endian")
    try:
        return _has(data)
    except struct.error as error:
        raise ValueError("cut short") from error


def _has(data: bytes) -> set[str]:
    (kind,) = struct.unpack_from("<H", data, 16)
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    found: set[str] = set()
    stack = False
    for index in range(count):
        name, flags, offset = struct.unpack_from("<IIQ", data, headers + index * size)
        (length,) = struct.unpack_from("<Q", data, headers + index * size + 32)
        if name == _PT_INTERP and kind == _ET_DYN:
            found.add("PIE")
        elif name == _PT_GNU_RELRO:
            found.add("RELRO")
        elif name == _PT_GNU_STACK:
            stack = not flags & _PF_X
        elif name == _PT_DYNAMIC and _binds_now(data[offset : offset + length]):
            found.add("BIND_NOW")
    # Without the header the kernel gives a stack that runs.
    if stack:
        found.add("NX stack")
    if b"\0__stack_chk_fail\0" in data:
        found.add("checked stack")
    if re.search(rb"\0__\w+_chk\0", data):
        found.add("FORTIFY")
    return found


def _binds_now(section: bytes) -> bool:
    said = dict(struct.iter_unpack("<QQ", section[: len(section) // 16 * 16]))
    return _DT_BIND_NOW in said or bool(said.get(_DT_FLAGS, 0) & _DF_BIND_NOW or said.get(_DT_FLAGS_1, 0) & _DF_1_NOW)


def resolved(root: Path, path: Path) -> Path:
    """Return the file that a path below `root` is a link to, links as the box has them."""
    for _ in range(8):
        if not path.is_symlink():
            break
        to = path.readlink()
        path = root / to.relative_to("/") if to.is_absolute() else Path(os.path.normpath(path.parent / to))
    return path


def lacks(root: Path) -> Iterator[str]:
    """Yield a line for each program, library or module of ours that lacks something."""
    release = root / "usr/lib/os-release"
    distribution = re.search(r'^ID="?(\w+)', release.read_text() if release.is_file() else "", re.M)
    known = KNOWN.get(distribution[1] if distribution else "", {})
    linked = {"BIND_NOW", "RELRO", "NX stack"}
    asked = [(root / place / name, {"PIE", *linked} - known.get(name, set())) for place in _PLACES for name in PROGRAMS]
    asked += [(path, linked) for pattern in _LIBRARIES for path in sorted(root.glob(pattern))]
    asked += [(path, {*linked, "checked stack", "FORTIFY"}) for path in sorted(root.glob(_MODULE))]
    for path, wanted in asked:
        file = resolved(root, path)
        if not file.is_file():
            continue
        try:
            missing = wanted - has(file)
        except ValueError as error:
            yield f"{path.relative_to(root)}: {error}"
            continue
        if missing:
            yield f"{path.relative_to(root)} has no {', '.join(sorted(missing))}"


if __name__ == "__main__":
    said = list(lacks(Path(sys.argv[1])))
    sys.stderr.writelines(f"hardened: {line}\n" for line in said)
    sys.exit(1 if said else 0)
