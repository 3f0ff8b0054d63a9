"""The top Makefile hands on what a person types: a path with blanks stays one, a board has one document whichever way it is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sbom.ours import TREE

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _says(target: str, *words: str) -> str:
    """Return what `make` would run for a target, less its set-up."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key not in ("BOARD", "BUILDROOT_DIR")}
    argv = ["make", "-n", "-o", "setup", target, *words]
    return subprocess.run(argv, cwd=TREE, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    "target, word",
    [
        *(("image-check", "BUILDROOT_DIR"), ("sbom", "BUILDROOT_DIR"), ("sbom", "DEBIAN_ROOT"), ("flash", "IMAGE"), ("flash", "DEVICE")),
        *(("image-test", "IMAGE"), ("image-test", "KERNEL"), ("image-test", "UBOOT")),
    ],
)
def test_a_path_with_a_blank_stays_one(target: str, word: str) -> None:
    assert '"a folder/with blanks"' in _says(target, f"{word}=a folder/with blanks")


@pytest.mark.parametrize("board", ["pc-x86_64-efi", "pc_x86_64_efi"])
def test_the_bill_of_a_board_is_found_by_the_report_whichever_way_the_board_is_written(board: str) -> None:
    for target in ("sbom", "cve-report"):
        assert '"build/sbom/pc_x86_64_efi.json"' in _says(target, f"BOARD={board}", "FEED=feed.json")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting needs root")
def test_clean_does_not_empty_what_is_mounted_in_an_image(tmp_path: Path) -> None:
    shutil.copy(TREE / "Makefile", tmp_path / "Makefile")
    place = tmp_path / "build/image/debian/root/dev"
    place.mkdir(parents=True)
    script = f"mount -t tmpfs none '{place}' && touch '{place}/null' && make clean; ls '{place}'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split()[-1:] == ["null"] and str(place.relative_to(tmp_path)) in done.stderr, done.stderr
