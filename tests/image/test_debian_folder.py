"""`image/debian/build.sh OUT` removes, as root, the root of an earlier image: nothing else, and nothing that is mounted in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import TREE

SHIM = Path("/usr/lib/shim/shimx64.efi")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not SHIM.exists() or not shutil.which("unshare"), reason="needs root, shim-unsigned and unshare"
)
TOOLS = ("mmdebstrap", "mksquashfs", "systemd-sysusers", "zstd", "veritysetup", "sbsign", "genimage", "mcopy", "mkfs.vfat", "grub-mkimage")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for the image, and what the script has kept of the packages: almost nothing."""
    (tmp_path / "base/boot").mkdir(parents=True)
    (tmp_path / "base/boot/vmlinuz-1").touch()
    subprocess.run(["tar", "-C", tmp_path / "base", "-cf", tmp_path / "base/base.tar", "boot"], check=True, timeout=60)
    shutil.copy(TREE / "image/debian/packages", tmp_path / "base/base.packages")
    (tmp_path / "programs").mkdir()
    for name in TOOLS:
        (tmp_path / "programs" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "programs" / name).chmod(0o755)
    (tmp_path / "out").mkdir()
    return tmp_path


def _build(place: Path, before: str) -> str:
    """Call it where only this process sees what is mounted; it ends at the first tool that is stood in for, or sooner."""
    environment = {**os.environ, "PATH": f"{place}/programs:{os.environ['PATH']}", "WARDGATE_BASE": str(place / "base"), "BOARD": ""}
    environment |= {"KERNEL": "", "WARDGATE_STUB": str(SHIM)}
    script = f"{before}\n'{TREE}/image/debian/build.sh' '{place}/out' || :\nls -R '{place}/out/root' 2>&1"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_folder_named_root_that_no_image_was_made_in_is_kept(place: Path) -> None:
    told = _build(place, f"mkdir '{place}/out/root' && touch '{place}/out/root/letters'")
    assert "letters" in told and "debian: " in told and "name another folder" in told, told


def test_what_is_mounted_in_the_root_of_an_earlier_image_is_not_removed_with_it(place: Path) -> None:
    first = _build(place, ":")
    assert "boot" in first or (place / "out/kernel").exists(), first
    mounted = f"mkdir -p '{place}/out/root/dev' && mount -t tmpfs none '{place}/out/root/dev' && touch '{place}/out/root/dev/null'"
    told = _build(place, mounted)
    assert "null" in told and "umount" in told and f"{place}/out/root/dev" in told, told


def test_the_root_of_an_earlier_image_is_made_anew(place: Path) -> None:
    _build(place, ":")
    told = _build(place, f"touch '{place}/out/root/stale'")
    assert "stale" not in told, told


def test_a_second_build_in_the_same_folder_does_not_begin_beside_the_first(place: Path) -> None:
    _build(place, ":")
    with (place / "out/build.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        told = _build(place, f"touch '{place}/out/root/of-the-first'")
    assert "of-the-first" in told and "another build" in told, told
