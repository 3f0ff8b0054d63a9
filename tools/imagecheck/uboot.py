"""`python -m imagecheck.uboot BOARD`: the U-Boot of a board out of UBOOT_DIR, by our configuration, without Buildroot.

In build/uboot/BOARD it makes `u-boot.bin` or what else the board's loader is, `u-boot.dtb`, `config` and, of U-Boot's own tools,
`fit_check_sign`. The key that it starts signed slots by: WARDGATE_FIT_CERTIFICATE (PEM). BL31: the secure monitor, where a board has one
in its loader; without it U-Boot's own parts are made. JOBS: how many at a time.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from imagecheck import kernel
from imagecheck.assemble import settings
from imagecheck.compiling import Command, compiled
from imagecheck.findings import COMMON, EXTERNAL

OUT: Final = Path(__file__).resolve().parents[2] / "build" / "uboot"
_CROSS: Final = "aarch64-linux-gnu-"
_TOOLS: Final = ("make", "gcc", "flex", "bison", "bc", "xxd", "dtc", "openssl", f"{_CROSS}gcc")
_PACKAGES: Final = "apt-get install gcc flex bison bc xxd device-tree-compiler openssl gcc-aarch64-linux-gnu"
_SECONDS: Final = 3600.0
# Words that were named anew in U-Boot 2025.10: both are written, one of them is kept.
_RENAMED: Final = (
    ("SYS_MMC_ENV_DEV", "ENV_MMC_DEVICE_INDEX"),
    ("SYS_REDUNDAND_ENVIRONMENT", "ENV_REDUNDANT"),
    ("USE_DEFAULT_ENV_FILE", "ENV_USE_DEFAULT_ENV_TEXT_FILE"),
    ("DEFAULT_ENV_FILE", "ENV_DEFAULT_ENV_TEXT_FILE"),
)
# Source of the verifier, and the function that came with the repair of CVE-2026-46728: before, what is under the signature was read from
# a list that is not.
_VERIFIER: Final = ("boot/image-fit-sig.c", "fit_config_get_hash_list")


def boards() -> dict[str, str]:
    """Return each board that starts by U-Boot, and the defconfig of U-Boot's own that it begins with."""
    found = {}
    for path in sorted((EXTERNAL / "board").glob("*/uboot.fragment")):
        named = re.search(r"^# defconfig: (\S+)$", path.read_text(), re.M)
        found[path.parent.name] = named[1] if named else ""
    return found


def fragments(board: str, made: Path) -> list[Path]:
    """Return what is laid over the defconfig, in its order."""
    return [COMMON / "boot/uboot.fragment", EXTERNAL / "board" / board / "uboot.fragment", made / "made.fragment"]


def verifies(tree: Path) -> bool:
    """Return whether this U-Boot's signatures cover what it starts (CVE-2026-46728 is repaired)."""
    file, function = _VERIFIER
    return (tree / file).is_file() and function in (tree / file).read_text()


def configure(tree: Path, board: str, certificate: Path, out: Path) -> list[str]:
    """Make the configuration in `out`/tree. Returns the words of `make`. Raises `RuntimeError`, also for a word that is not kept."""
    made, objects = out / "made", out / "tree"
    objects.mkdir(parents=True, exist_ok=True)
    kernel.run([sys.executable, str(COMMON / "uboot.py"), board, str(certificate), str(made)])
    make = ["make", "-s", "-C", str(tree), f"O={objects}", f"CROSS_COMPILE={_CROSS}"]
    kernel.run([*make, f"{boards()[board]}_defconfig"])
    with (objects / ".config").open("a") as file:
        file.writelines(path.read_text() for path in fragments(board, made))
    kernel.run([*make, "olddefconfig"])
    wanted, got = kernel.words(fragments(board, made)), kernel.words([objects / ".config"])
    for pair in _RENAMED:
        kept = next((name for name in pair if name in got), pair[0])
        for name in set(pair) - {kept}:
            wanted.pop(name, None)
    lost = [
        f"CONFIG_{name}={value} comes out as {got.get(name, 'n')}" for name, value in sorted(wanted.items()) if value != got.get(name, "n")
    ]
    if lost:
        raise RuntimeError("; ".join(lost))
    return make


def build(tree: Path, board: str, certificate: Path, out: Path, jobs: int) -> list[Path]:
    """Return the files of the loader. Raises `RuntimeError` that says what is wrong or what the compiler said."""
    if not verifies(tree):
        raise RuntimeError(f"{tree} checks of a FIT only what an unsigned list in it names (CVE-2026-46728, repaired in March 2026)")
    said = settings(board)
    make = [*configure(tree, board, certificate, out), f"-j{jobs}", f"KCPPFLAGS={said.get('uboot_flags', '')}"]
    objects = out / "tree"
    places = said.get("loader")
    loader = sorted(str(name) for name in places.values()) if isinstance(places, dict) else ["u-boot.bin"]
    if isinstance(places, dict) and not os.environ.get("BL31"):
        loader = ["u-boot-nodtb.bin"]
    kernel.run([*make, "u-boot-nodtb.bin", "u-boot.dtb", "tools"] if loader == ["u-boot-nodtb.bin"] else make, _SECONDS)
    for name in (*loader, "u-boot.dtb", "tools/fit_check_sign"):
        if (objects / name).exists() or name in loader:  # a tree that comes with the machine is not made
            shutil.copy2(objects / name, out / Path(name).name)
    shutil.copyfile(objects / ".config", out / "config")
    return [out / name for name in loader]


def _version(tree: Path) -> str:
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL) = (\d+)$", (tree / "Makefile").read_text(), re.M))
    return f"{found.get('VERSION')}.{found.get('PATCHLEVEL')}"


def main(words: list[str]) -> int:
    """Compile, and say what came out."""
    tree, certificate = (Path(os.environ.get(name) or os.devnull).resolve() for name in ("UBOOT_DIR", "WARDGATE_FIT_CERTIFICATE"))

    def make(board: str, jobs: int) -> list[str]:
        made = build(tree, board, certificate, OUT / board, jobs)
        return [*(f"{file}: {file.stat().st_size / 1e3:.0f} kB" for file in made), f"image-uboot: U-Boot {_version(tree)}"]

    wrong = ""
    if not (tree / "boot").is_dir():
        wrong = "UBOOT_DIR= the source of U-Boot; Debian's (apt-get source u-boot) does"
    elif not certificate.is_file():
        wrong = "WARDGATE_FIT_CERTIFICATE= the certificate (PEM) of the key that slots are signed by"
    return compiled(Command("image-uboot", boards(), _TOOLS, _PACKAGES, make), words, wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
