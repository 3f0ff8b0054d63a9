"""`tools/image.sh`: what it can say at once it says before anything is fetched or built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imagecheck.assemble import boards
from support.units import TREE

BASIC = ("dirname", "basename", "tr", "sed", "openssl", "objcopy")


def command(folder: Path, board: str, *programs: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it where nothing but `programs` is installed."""
    for name in programs:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        (folder / name).symlink_to(found)
    words = ["/bin/sh", str(TREE / "tools/image.sh"), board]
    return subprocess.run(words, env={"PATH": str(folder), **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_a_board_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    done = command(tmp_path, "another", *BASIC)
    assert done.returncode == 2 and done.stderr.split()[-len(boards()) :] == boards()


def test_what_the_last_step_needs_is_asked_for_before_the_first(tmp_path: Path) -> None:
    done = command(tmp_path, "qemu-x86_64", *BASIC)
    assert done.returncode == 1 and "sbsign is needed" in done.stderr and "apt-get install sbsigntool" in done.stderr


def test_a_folder_that_buildroot_does_not_take_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "nanopi_r2s", *BASIC, O=f"{tmp_path}/two words", BUILDROOT_DIR=os.devnull)
    assert done.returncode == 1 and "no folder with a space" in done.stderr
    assert not (tmp_path / "two words").exists()
