"""The one program of the Debian image's initramfs: it compiles without a word for both machines, and wants no library."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import TREE

FOLDER = TREE / "image/debian"


def _words() -> list[str]:
    """Return the compiler's words of initramfs.sh, without its files."""
    script = (FOLDER / "initramfs.sh").read_text().replace("\\\n", " ")
    found = re.search(r'"\$\{CC:-cc\}" (.*) -o "\$work/init" "\$here/init\.c"', script)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize(("compiler", "machine"), [("gcc", "X86-64"), ("aarch64-linux-gnu-gcc", "AArch64")])
def test_it_compiles_for_this_machine_and_needs_no_library(compiler: str, machine: str, tmp_path: Path) -> None:
    made = tmp_path / "init"
    if shutil.which(compiler) is None or shutil.which("readelf") is None:
        pytest.skip(f"{compiler} or readelf is not installed")
    if compiler != "gcc" and not Path("/usr/aarch64-linux-gnu/include/linux/dm-ioctl.h").exists():
        pytest.skip("linux-libc-dev-arm64-cross is not installed")
    done = subprocess.run([compiler, *_words(), "-o", made, FOLDER / "init.c"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = subprocess.run(["readelf", "-hldW", made], capture_output=True, text=True, timeout=60, check=True).stdout
    assert machine in said
    assert "INTERP" not in said and "NEEDED" not in said
    assert made.stat().st_size < 100_000
    # Nothing of it can be written and run.
    assert not re.search(r"^\s+LOAD .* RWE ", said, re.M)


def test_the_initramfs_has_no_shell() -> None:
    """Whoever gets no further than the initramfs gets nowhere."""
    packages = (FOLDER / "packages").read_text()
    assert "busybox" not in packages and "busybox" not in (FOLDER / "initramfs.sh").read_text()
