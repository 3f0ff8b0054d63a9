"""What OpenSSL's SHA-256 of the same bytes costs, for row 2: `python -m bench.hashcost FOLDER REPEAT` prints CPU seconds a GB."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from bench.places import HERE


def seconds_per_gigabyte(folder: Path, cpus: str, repeat: int = 10) -> float:
    """Measure on the processors named, in a process of its own."""
    words = ["taskset", "-c", cpus, sys.executable, "-m", "bench.hashcost", str(folder), str(repeat)]
    done = subprocess.run(words, check=True, capture_output=True, env={"PYTHONPATH": str(HERE.parent)})
    return float(done.stdout)


def main() -> None:
    """Hash all files of a folder again and again."""
    files = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
    repeat = int(sys.argv[2])
    began = time.thread_time()
    for _ in range(repeat):
        for data in files:
            hashlib.sha256(data).digest()
    print((time.thread_time() - began) / (repeat * sum(map(len, files)) / 1e9))


if __name__ == "__main__":
    main()
