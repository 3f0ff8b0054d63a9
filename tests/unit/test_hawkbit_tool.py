"""`tools/hawkbit.sh` from two tests at once: the second waits, and takes what the first has made."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from sbom.ours import TREE


def test_who_comes_while_another_makes_it_waits_and_takes_it(tmp_path: Path) -> None:
    for name in ("tools/hawkbit.sh", "image/debian/hawkbit.pin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    stamp = hashlib.sha256((tmp_path / "image/debian/hawkbit.pin").read_bytes() + (tmp_path / "tools/hawkbit.sh").read_bytes()).hexdigest()
    made = tmp_path / "build/hawkbit"
    made.mkdir(parents=True)
    # Whoever does not wait ends at once: no compiler's tool is there.
    (tmp_path / "programs").mkdir()
    for name in ("sh", "dirname", "cat", "sha256sum", "sed", "mkdir", "flock"):
        (tmp_path / "programs" / name).symlink_to(shutil.which(name) or name)
    with (tmp_path / "build/hawkbit.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        words = [tmp_path / "tools/hawkbit.sh"]
        second = subprocess.Popen(
            words, env={"PATH": str(tmp_path / "programs")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # A line of one that waits for a lock begins with an arrow (proc_locks(5)).
        waits = f":{os.fstat(file.fileno()).st_ino} "
        while second.poll() is None and not any("->" in line and waits in line for line in Path("/proc/locks").read_text().splitlines()):
            time.sleep(0.01)
        (made / "made").write_text(f"{stamp}  -\n")
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and said == f"{made}\n", said
