"""A demonstration on a machine that lacks DCMTK says so, and how to get it; it does not end in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sbom.ours import TREE

# What the demonstrations ask for beside it.
_OTHERS = ("openssl", "pcscd", "unshare", "nsenter", "ip", "nft", "ss", "setpriv", "tcpdump", "python3", "sh", "mount")


@pytest.mark.parametrize("demo", ["run", "card", "iscl", "cable"])
def test_without_dcmtk_it_is_named_with_its_package(tmp_path: Path, demo: str) -> None:
    for name in _OTHERS:
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    environment = {
        **os.environ,
        "PATH": str(tmp_path),
        "PYTHONPATH": ":".join(str(TREE / name) for name in ("firmware", "hsm", "tools", "tests")),
    }
    done = subprocess.run([sys.executable, "-m", f"demo.{demo}"], env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-600:]
    if os.geteuid() == 0 or demo == "run":
        assert "DCMTK" in done.stdout and "apt-get install dcmtk" in done.stdout, done.stdout
