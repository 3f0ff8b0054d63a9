"""`make image-uboot`: what is refused, and (`UBOOT_DIR=`) that U-Boot's own kconfig keeps every word of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imagecheck import uboot
from imagecheck.assemble import settings
from support.ubootkit import make_key
from support.ubootkit import uboot as parts

SOURCE = os.environ.get("UBOOT_DIR", "")


def _tree(folder: Path, verifier: str) -> Path:
    (folder / "boot").mkdir(parents=True)
    (folder / "boot/image-fit-sig.c").write_text(verifier)
    return folder


def test_a_uboot_that_believes_an_unsigned_list_is_not_built(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "uboot", 'prop = fdt_getprop(fit, noffset, "hashed-nodes", &prop_len);')
    with pytest.raises(RuntimeError, match="CVE-2026-46728"):
        uboot.build(tree, "nanopi_r2s", tmp_path / "boot.crt", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_every_board_that_starts_by_uboot_says_which_of_its_configurations_it_begins_with() -> None:
    found = uboot.boards()
    assert found["nanopi_r2s"] == "nanopi-r2s-rk3328" and all(found.values())
    assert all(settings(board)["bootloader"] == "uboot" for board in found)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=TEST ONLY", "-keyout", "k.pem", "-out", "c.pem"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    with pytest.raises(ValueError, match="not a key of RSA with 2048 bits"):
        parts.key(tmp_path / "c.pem")


@pytest.mark.parametrize("board", sorted(uboot.boards()))
def test_the_kconfig_of_uboot_keeps_every_word(tmp_path: Path, board: str) -> None:
    if not SOURCE or any(shutil.which(tool) is None for tool in ("aarch64-linux-gnu-gcc", "flex", "bison")):
        pytest.skip("UBOOT_DIR= names no source of U-Boot, or its compiler is missing (apt-get install gcc-aarch64-linux-gnu flex bison)")
    certificate = make_key(tmp_path / "key") / "boot.crt"
    uboot.configure(Path(SOURCE).resolve(), board, certificate, tmp_path / "out")
    text = (tmp_path / "out/tree/.config").read_text()
    assert "CONFIG_ENV_WRITEABLE_LIST=y\n" in text and "CONFIG_FIT_SIGNATURE=y\n" in text and "CONFIG_LEGACY_IMAGE_FORMAT=y" not in text
