"""`make image-check` on copies of the tree: what is good passes, each mistake is named. Buildroot's tree is stood in for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagecheck import compile as kernel_compile
from imagecheck import kernel
from imagecheck.assemble import boards
from imagecheck.findings import EXTERNAL, Findings
from imagecheck.options import misfits
from imagecheck.pin import digest, pinned, version
from imagecheck.resolve import values
from imagecheck.symbols import check, declared, used
from support.units import TREE

BUILDROOT = os.environ.get("BUILDROOT_DIR", "")
KERNEL = os.environ.get("KERNEL_DIR", "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the check reads."""
    for name in ("image", "board", "firmware/wardgate", "hsm/wardkeys"):
        shutil.copytree(TREE / name, tmp_path / "tree" / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TREE / "tools" / "imagecheck", tmp_path / "tree" / "tools" / "imagecheck", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


def _run(tree: Path, *words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "imagecheck", *words]
    done = subprocess.run(
        argv, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree / "tools")}, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _buildroot(folder: Path, without: str = "") -> Path:
    """A stand-in for the Buildroot tree: it declares what ours uses."""
    folder.mkdir()
    names = {name for _, _, name in used()} - declared(EXTERNAL) - {without}
    (folder / "Config.in").write_text("".join(f"config {name}\n\tbool\n" for name in sorted(names)))
    return folder


def test_the_tree_has_no_mistake_and_what_needs_buildroot_is_named(copy: Path) -> None:
    status, told = _run(copy)
    assert status == 0, told
    assert told.count("BUILDROOT_DIR= is not given") == 3
    assert "KERNEL_DIR= is not given" in told or KERNEL


@pytest.mark.parametrize(
    "path, old, new, word",
    [
        ("configs/wardgate_qemu_x86_64_defconfig", "BR2_x86_64=y\n", "", "is not what its parts make"),
        ("package/wardgate/wardgate.mk", "WARDGATE_LICENSE", "WARDGATE_LICENCE", "WARDGATE_LICENSE is missing"),
        ("package/wardgate/wardgate.mk", "METHOD = local", "METHOD = git", "has no hash file"),
        ("patches/linux/linux.hash", "6.12.70", "6.12.71", "has no hash of linux-6.12.70"),
        ("patches/uboot/uboot.hash", "2026.04", "2026.07", "has no hash of u-boot-2026.04"),
        ("patches/linux/linux.hash", "sha256  ", "md5  ", "not `sha256"),
        ("kernel/bridge.fragment", "CONFIG_BRIDGE=y", "CONFIG BRIDGE=y", "line 1"),
        ("kernel/virtio.fragment", "CONFIG_I6300ESB_WDT=y", "# CONFIG_DM_VERITY is not set", "CONFIG_DM_VERITY"),
        ("post-image.sh", "done\n", "", "post-image.sh"),
        ("board/nanopi_r2s/board.toml", "wardgate-nanopi", "nanopi", "a word is wrong"),
        ("board/nanopi_r2s/supervisor.toml", "gpio = 3", "gpio = 2", "one pin for two"),
        ("board/qemu_x86_64/supervisor.toml", 'link = "none"', 'link = "usb"', "has no supervisor"),
    ],
)
def test_a_mistake_is_named(copy: Path, path: str, old: str, new: str, word: str) -> None:
    place = copy / "image/buildroot" / path
    text = place.read_text()
    assert old in text
    place.write_text(text.replace(old, new, 1))
    status, told = _run(copy)
    assert status == 1
    assert any(word in line for line in told.splitlines() if line.startswith("MISTAKE")), told


@pytest.mark.parametrize("mode", [0o666, 0o644 | 0o4000, 0o755])
def test_a_wrong_permission_in_the_overlay_is_named(copy: Path, mode: int) -> None:
    (copy / "image/common/overlay/usr/lib/sysctl.d/90-wardgate.conf").chmod(mode)
    status, told = _run(copy)
    assert status == 1
    assert "90-wardgate.conf: mode" in told


def test_a_module_of_python_that_buildroot_would_leave_out_is_named(copy: Path) -> None:
    (copy / "hsm/wardkeys/seen.py").write_text("from xml.etree import ElementTree\n")
    status, told = _run(copy)
    assert status == 1
    assert told.count("hsm/wardkeys/seen.py: imports xml") == len(boards())


@pytest.mark.parametrize("word", ["BR2_PACKAGE_LIBSECCOMP", "BR2_PACKAGE_NFTABLES_JSON"])
def test_what_a_package_can_only_with_an_option_that_is_missing_is_named(copy: Path, word: str) -> None:
    part = copy / "image/buildroot/parts/common.config"
    part.write_text(part.read_text().replace(f"{word}=y\n", ""))
    subprocess.run(
        [sys.executable, "-m", "imagecheck.assemble"], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy / "tools")}, check=True
    )
    status, told = _run(copy)
    assert status == 1
    assert told.count(f"has no {word}") == len(boards())


def test_a_private_key_in_the_overlay_is_named(copy: Path) -> None:
    (copy / "image/common/overlay/usr/share/wardgate/box.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert "a private key" in _run(copy)[1]


def test_a_symbol_that_buildroot_does_not_have_is_named(tmp_path: Path) -> None:
    findings = Findings()
    check(_buildroot(tmp_path / "good"), findings)
    assert findings.mistakes == []
    check(_buildroot(tmp_path / "bad", without="BR2_PACKAGE_CCID"), findings)
    assert findings.mistakes
    assert all("BR2_PACKAGE_CCID is not in bad" in line for line in findings.mistakes)


def test_another_release_is_refused(tmp_path: Path) -> None:
    tree = _buildroot(tmp_path / "other")
    (tree / "Makefile").write_text("export BR2_VERSION := 2020.02\n")
    assert version(tree) == "2020.02"
    status, told = _run(TREE, str(tree))
    assert status == 1
    assert f"pinned is {pinned()['version']}" in told


def test_a_changed_tree_is_refused_and_taken_only_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = _buildroot(tmp_path / "changed")
    (tree / "Makefile").write_text(f"export BR2_VERSION := {pinned()['version']}\n")
    refused = "MISTAKE  " + str(tree) + f": says {pinned()['version']}, but its files"
    assert refused in _run(TREE, str(tree))[1]
    monkeypatch.setenv("UNPINNED", "yes")
    told = _run(TREE, str(tree))[1]
    assert refused not in told
    assert f"skipped  {tree}: UNPINNED=yes" in told


def test_a_folder_that_is_no_buildroot_is_one_mistake_that_says_what_is_wanted(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        status, told = _run(TREE, str(folder))
        (line,) = (line for line in told.splitlines() if line.startswith("MISTAKE"))
        assert status == 1 and f"{folder}: is no Buildroot" in line and f"BUILDROOT_DIR= the pinned {pinned()['version']}" in line


def test_the_digest_of_a_tree_tells_content_name_and_mode(tmp_path: Path) -> None:
    tree = _buildroot(tmp_path / "one")
    first = digest(tree)
    (tree / "docs").mkdir()
    (tree / "docs" / "manual.pdf").write_text("built")
    assert digest(tree) == first
    (tree / "Config.in").chmod(0o755)
    second = digest(tree)
    (tree / "Config.in").rename(tree / "Config.out")
    assert len({first, second, digest(tree)}) == 3


def test_a_word_that_is_not_set_counts_as_n() -> None:
    assert values('BR2_A=y\n# BR2_B is not set\nBR2_C="x"\n# a comment\n') == {"BR2_A": "y", "BR2_B": "n", "BR2_C": '"x"'}


def test_of_the_words_that_a_package_is_configured_with_the_last_counts() -> None:
    said = "--disable-static --disable-exec-static-tramp --enable-exec-static-tramp -Dseccomp=disabled -Dtpm2=enabled"
    assert misfits(said, ("--enable-exec-static-tramp", "tpm2=enabled")) == []
    assert misfits(said, ("seccomp=enabled", "p11kit=enabled")) == ["seccomp=enabled is seccomp=disabled", "p11kit=enabled is not there"]
    assert misfits("--without-json", ("--with-json",)) == ["--with-json is --without-json"]


@pytest.mark.timeout(600)  # kconfig of the whole tree, for each board, twice
@pytest.mark.skipif(not BUILDROOT, reason="BUILDROOT_DIR is not given (the pinned Buildroot tree)")
def test_the_pinned_tree_takes_ours_and_a_dependency_that_is_missing_is_named(copy: Path) -> None:
    status, told = _run(copy, BUILDROOT)
    assert status == 0, told
    board = copy / "image/buildroot/board/qemu_x86_64/board.config"
    board.write_text(board.read_text() + "BR2_PACKAGE_WPEWEBKIT=y\nBR2_PACKAGE_NO_SUCH_THING=y\n")
    subprocess.run([sys.executable, "-m", "imagecheck.assemble"], cwd=copy / "tools", timeout=60, check=True)
    status, told = _run(copy, BUILDROOT)
    assert status == 1
    assert "BR2_PACKAGE_NO_SUCH_THING is not in" in told
    assert "BR2_PACKAGE_WPEWEBKIT=y comes out as n" in told


def _kernel(folder: Path, without: str = "") -> Path:
    """A stand-in for a kernel tree: it declares what our fragments name."""
    (folder / "net").mkdir(parents=True)
    (folder / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 70\n")
    (folder / "Kconfig").write_text('source "net/Kconfig"\n')
    names = {name for board in boards() for name in kernel.words(kernel.fragments(board))} - {without}
    (folder / "net/Kconfig").write_text("".join(f"config {name}\n\tbool\n" for name in sorted(names)))
    return folder


def test_a_kernel_name_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagecheck.kernel.shutil.which", lambda _name: None)  # names alone: the stand-in has no kconfig
    findings = Findings()
    kernel.check(_kernel(tmp_path / "good"), findings)
    assert findings.mistakes == [] and "in Linux 6.12.70" in findings.held[0]
    kernel.check(_kernel(tmp_path / "bad", without="NFT_TPROXY"), findings)
    (mistake,) = findings.mistakes
    assert "CONFIG_NFT_TPROXY is not in Linux 6.12.70" in mistake
    kernel.check(tmp_path / "absent", findings)
    assert "is no kernel tree" in findings.mistakes[-1]


def test_a_compile_names_what_it_was_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("KERNEL_DIR", raising=False)
    assert kernel_compile.main(["no-such-board"]) == 2
    assert "qemu_x86_64" in capsys.readouterr().err
    assert kernel_compile.main(["qemu-x86_64"]) == 2
    assert "KERNEL_DIR=" in capsys.readouterr().err
    monkeypatch.setenv("KERNEL_DIR", str(_kernel(tmp_path / "tree")))
    monkeypatch.setattr("imagecheck.compile.shutil.which", lambda name: None if name == "bison" else name)
    assert kernel_compile.main(["qemu-x86_64"]) == 1
    assert "not installed: bison" in capsys.readouterr().err


def test_a_word_that_kconfig_does_not_keep_stops_a_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def configured(_tree: Path, board: str, folder: Path) -> list[str]:
        written = "".join(path.read_text() for path in kernel.fragments(board))
        (folder / ".config").write_text(written.replace("CONFIG_DM_INIT=y", "# CONFIG_DM_INIT is not set"))
        return ["false"]

    monkeypatch.setattr("imagecheck.kernel.configure", configured)
    with pytest.raises(RuntimeError, match=r"^CONFIG_DM_INIT=y comes out as n$"):
        kernel_compile.build(tmp_path, "qemu_x86_64", tmp_path / "out", 1)


@pytest.mark.skipif(not KERNEL, reason="KERNEL_DIR is not given (a kernel tree, such as Debian's linux-source-6.12)")
def test_the_kernel_keeps_every_word_and_one_without_its_dependency_is_named(copy: Path) -> None:
    status, told = _run(copy)
    assert status == 0, told
    place = copy / "board/qemu_x86_64/board.config"
    fragment = copy / "image/buildroot/kernel/virtio.fragment"
    fragment.write_text(fragment.read_text() + "CONFIG_DWMAC_ROCKCHIP=y\n")
    assert "virtio.fragment" in place.read_text()
    status, told = _run(copy)
    assert status == 1 and "CONFIG_DWMAC_ROCKCHIP=y comes out as" in told
