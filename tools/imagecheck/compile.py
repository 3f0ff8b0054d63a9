"""`python -m imagecheck.compile BOARD`: the kernel of a board out of KERNEL_DIR, by our configuration, without Buildroot.

In build/kernel/BOARD it makes the kernel under the name that `board.toml` says, `config`, `version`, the board's device tree and, if the
configuration has modules, `modules/lib/modules`. Objects are kept in `tree`: a second time compiles what changed. JOBS: how many at a time.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from imagecheck import kernel
from imagecheck.assemble import boards, settings
from imagecheck.compiling import Command, compiled

OUT: Final = Path(__file__).resolve().parents[2] / "build" / "kernel"
_BOOT: Final = {"x86_64": "arch/x86/boot", "aarch64": "arch/arm64/boot"}
_TOOLS: Final = ("make", "gcc", "flex", "bison", "bc")
_PACKAGES: Final = "apt-get install gcc flex bison bc libelf-dev libssl-dev"
_SECONDS: Final = 6 * 3600.0


def build(tree: Path, board: str, out: Path, jobs: int) -> Path:
    """Return the kernel's file. Raises `RuntimeError` that says what is missing or what the compiler said."""
    objects = out / "tree"
    objects.mkdir(parents=True, exist_ok=True)
    make = [*kernel.configure(tree, board, objects), f"-j{jobs}"]
    if gone := kernel.lost(board, objects):
        raise RuntimeError("; ".join(f"CONFIG_{name}={value} comes out as {got}" for name, value, got in gone))
    said = settings(board)
    has_modules = "m" in kernel.words([objects / ".config"]).values()
    wanted = [str(said["kernel"]), *(["modules"] if has_modules else []), *(["dtbs"] if "dtb" in said else [])]
    kernel.run([*make, *wanted], _SECONDS)
    boot = objects / _BOOT[str(said["arch"])]
    made = out / str(said["kernel"])
    shutil.copyfile(boot / made.name, made)
    shutil.copyfile(objects / ".config", out / "config")
    shutil.copyfile(objects / "include/config/kernel.release", out / "version")
    if "dtb" in said:
        (found,) = (boot / "dts").rglob(str(said["dtb"]))
        shutil.copyfile(found, out / found.name)
    shutil.rmtree(out / "modules", ignore_errors=True)
    if has_modules:
        kernel.run([*make, "modules_install", f"INSTALL_MOD_PATH={out / 'modules'}"], _SECONDS)
        for link in (out / "modules/lib/modules").glob("*/build"):
            link.unlink()
    return made


def main(words: list[str]) -> int:
    """Compile, and say what came out."""
    tree = Path(os.environ.get("KERNEL_DIR") or os.devnull).resolve()

    def make(board: str, jobs: int) -> list[str]:
        made = build(tree, board, OUT / board, jobs)
        return [f"{made}: {kernel.version(tree)}, {made.stat().st_size / 1e6:.1f} MB"]

    wrong = "" if (tree / "Kconfig").is_file() else "KERNEL_DIR= a kernel's source; Debian's linux-source-6.12, unpacked, does"
    return compiled(
        Command("image-kernel", boards(), _TOOLS, "apt-get install gcc flex bison bc libelf-dev libssl-dev", make), words, wrong
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
