"""Made the bundles beside it, once (PYTHONPATH as for the demos of the Makefile). The keys were thrown away.

They are small (their images are noise) and stand for what a box must refuse: an older release, one of another board, one of another
CA, one whose payload was changed, one that was cut off. `anchor.pem` is trusted by the images of the tests.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from support.imagekit import COMPATIBLE, Authority, authority
from wardtools.release.cli import main as release

HERE = Path(__file__).parent
IMAGE_BYTES = 8192


def _make(folder: Path, who: Authority, name: str, version: str = "9.9.9", compatible: str = COMPATIBLE) -> Path:
    out = HERE / f"{name}.raucb"
    words = ["sign", str(folder), str(out), "--compatible", compatible, "--version", version]
    assert release([*words, "--certificate", str(who.certificate), "--unsafe-key-file", str(who.key)]) == 0
    return out


def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        who, other = authority(folder / "keys", "TEST ONLY kept release CA"), authority(folder / "other", "TEST ONLY other CA")
        shutil.copyfile(who.anchor, HERE / "anchor.pem")
        for file in ("boot.vfat", "root.img"):
            (folder / file).write_bytes(os.urandom(IMAGE_BYTES))
        _make(folder, who, "older", version="0.0.1")
        _make(folder, who, "other-board", compatible="wardgate-nanopi-r2s")
        _make(folder, other, "other-ca")
        flipped = _make(folder, who, "flipped")
        content = bytearray(flipped.read_bytes())
        content[4096] ^= 1
        flipped.write_bytes(content)
        cut = _make(folder, who, "cut")
        cut.write_bytes(cut.read_bytes()[:-1000])


if __name__ == "__main__":
    main()
