"""What a Buildroot configuration is made of, by Buildroot's own `show-info` and `utils/generate-cyclonedx`. Nothing is built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from imagecheck import pin
from imagecheck.assemble import target
from imagecheck.findings import EXTERNAL

_SECONDS = 600


def of_tree(tree: Path, board: str) -> dict[str, Any]:
    """Return the document of `board`. Raises `RuntimeError` with the last words of what failed, `OSError`, `subprocess.TimeoutExpired`."""
    there, wanted = pin.version(tree), pin.pinned()["version"]
    if not there or (there != wanted and os.environ.get("UNPINNED") != "yes"):
        raise RuntimeError(f"BUILDROOT_DIR={tree} is {f'Buildroot {there}' if there else 'no Buildroot'}; the image is made of {wanted}")
    with tempfile.TemporaryDirectory(prefix="wg-") as folder:
        output = Path(folder, "output")
        _run("make", "-C", tree, f"O={output}", f"BR2_EXTERNAL={EXTERNAL}", f"BR2_DEFCONFIG={target(board)}", "defconfig")
        info = _run("make", "-s", "--no-print-directory", "-C", output, "show-info")
        _give_licence_names(Path(folder, "dl"))
        words = ("--project-name", f"wardgate-{board}")
        text = _run(sys.executable, tree / "utils/generate-cyclonedx", *words, text=info, BR2_DL_DIR=str(Path(folder, "dl")))
    document = json.loads(text)
    for component in document["components"]:
        if component["bom-ref"].startswith("host-"):
            component["scope"] = "excluded"  # it builds the image and is not in it
    return dict(document)


def _give_licence_names(downloads: Path) -> None:
    """Buildroot's script would fetch the list of SPDX names; the validator brings it along."""
    import cyclonedx.schema

    place = downloads / "cyclonedx"
    place.mkdir(parents=True)
    shutil.copy(Path(str(cyclonedx.schema.__file__)).parent / "_res" / "spdx.SNAPSHOT.schema.json", place / "spdx-1.6.schema.json")


def _run(*words: str | Path, text: str | None = None, **more: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BR2_", "MAKE", "MFLAGS"))} | more
    argv = [str(word) for word in words]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout
