"""systemd units as files: read, and put into a root where systemd-analyze can judge them. Nothing is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
COMMON = TREE / "image" / "common"
OVERLAY = COMMON / "overlay"
UNITS = OVERLAY / "usr/lib/systemd/system"
HOST_UNITS = Path("/usr/lib/systemd/system")
# What services of ours may start besides modules of ours: base packages of both builders.
_BASE = ("/usr/bin/python3", "/usr/sbin/nft", "/usr/sbin/sshd", "/bin/kill", "/bin/true", "/bin/sleep", "/usr/bin/grep")
_FILES = ("/usr/bin/install", "/usr/bin/rm")
PROGRAMS = (*_BASE, *_FILES, "/usr/bin/rauc-hawkbit-updater")


def services() -> list[Path]:
    """Every service of ours."""
    return sorted(UNITS.glob("*.service"))


def read_unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return section -> key -> values in order. Raises `ValueError` on a line that is neither."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
            continue
        key, equals, value = text.partition("=")
        if not equals or not section:
            raise ValueError(f"{path.name}:{number}: {text}")
        found[section][key].append(value)
    return found


def need_systemd_analyze() -> None:
    """Skip without systemd-analyze or the host's own units, which ours refer to."""
    if shutil.which("systemd-analyze") is None or not (HOST_UNITS / "sysinit.target").exists():
        pytest.skip("systemd-analyze and systemd's units are not installed (apt-get install systemd)")


def unit_root(folder: Path) -> Path:
    """Make a root with this machine's units, our overlay and empty programs."""
    root = folder / "root"
    shutil.copytree(HOST_UNITS, root / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(OVERLAY, root, symlinks=True, dirs_exist_ok=True)
    for program in PROGRAMS:
        path = root / program[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return root


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; both outputs in one."""
    argv = ["systemd-analyze", *map(str, words)]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


def rauc_root(root: Path, board: str, **environment: str) -> Path:
    """Return a root of nothing but our overlay and what RAUC reads on a board."""
    shutil.copytree(OVERLAY, root, symlinks=True)
    environment = {**os.environ, "PYTHON": sys.executable, **environment}
    words = [COMMON / "rauc.sh", root, board, "1.2.3"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return root
