"""`make supervisor BOARD=`: a board that is not there, or has no supervisor, is answered with those that have one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sbom.ours import TREE


def _run(board: str, folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, TREE / "tools/mcu.py", board, folder]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("board", ["", "another", "../board/nanopi_r2s", "qemu-x86_64", "qemu_aarch64_uboot"])
def test_a_board_without_supervisor_is_answered_with_those_that_have_one(tmp_path: Path, board: str) -> None:
    (tmp_path / "kept").touch()
    done = _run(board, tmp_path)
    assert done.returncode == 1 and "nanopi_r2s" in done.stderr and "pc_x86_64_efi" in done.stderr, done.stderr
    assert "qemu_x86_64 " not in done.stderr.partition("one of")[2] and (tmp_path / "kept").exists()


def test_a_board_is_known_by_either_spelling(tmp_path: Path) -> None:
    for board in ("nanopi-r2s", "nanopi_r2s"):
        assert _run(board, tmp_path / board).returncode == 0
        assert (tmp_path / board / "pins.py").is_file()
