"""The image tests on an image that somebody built, `IMAGE=FOLDER`: where `image/common/assemble.sh` has worked, for either builder.

The tests need a shell and keys of their own in the box, so the root is unpacked, what the tests add is laid over it, and it is packed and
assembled again, by the same scripts, with the kernel, loader and stub of the folder. Everything else of the root stays as it was built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from support.machine import Machine
from support.units import TREE

PARTS = ("kernel", "stub.efi", "shim.efi", "grub.efi")
_EROFS_MAGIC = 0xE0F5E1E2


def given() -> Path | None:
    """Return the folder of `IMAGE=`, or None when the tests build the Debian image. Raises `AssertionError` that says what is missing."""
    named = os.environ.get("IMAGE")
    if not named:
        return None
    folder = Path(named)
    missing = [name for name in (*PARTS, "root.image") if not (folder / name).is_file()]
    assert not missing, f"IMAGE={folder}: no {', '.join(missing)}; it is the folder that image/common/assemble.sh worked in"
    return folder


def is_erofs(root: Path) -> bool:
    """Is this image of a root erofs? Else it is squashfs."""
    with root.open("rb") as file:
        file.seek(1024)
        return int.from_bytes(file.read(4), "little") == _EROFS_MAGIC


def assemble(source: Path, folder: Path, laid: Path, machine: Machine, environment: dict[str, str]) -> None:
    """Make in `folder` what `image/debian/build.sh` makes there, from the image in `source` with the files of `laid` in its root."""
    root = folder / "root"
    erofs = is_erofs(source / "root.image")
    if erofs:
        _run(["fsck.erofs", f"--extract={root}", "--preserve", source / "root.image"])
    else:
        _run(["unsquashfs", "-quiet", "-no-progress", "-d", root, source / "root.image"])
    for name in (*PARTS, "initrd.img"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    compatible = f"IMAGE_ID={machine.compatible}"
    assert compatible in (root / "usr/lib/os-release").read_text().splitlines(), f"IMAGE= is not for {machine.board}"
    _run([TREE / "image/common/finish.sh", root, machine.board], environment)
    _run(["cp", "-a", f"{laid}/.", root])
    (folder / "root.image").unlink(missing_ok=True)
    if erofs:
        _run(["mkfs.erofs", "-zlz4hc", folder / "root.image", root])
    else:
        _run(
            ["mksquashfs", root, folder / "root.image", "-comp", "zstd", "-Xcompression-level", "3", "-noappend", "-quiet", "-no-progress"]
        )
    shutil.copyfile(root / "usr/lib/os-release", folder / "os-release")
    _run([TREE / "image/common/assemble.sh", machine.board, folder], environment)


def _run(words: list[str | Path], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}"
