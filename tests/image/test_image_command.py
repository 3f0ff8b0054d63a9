"""`tools/image.sh`: what it can say at once it says before anything is fetched or built; keys and other files are found from where it was
called, and it says at the end whose they are. Buildroot is stood in for by a `make` that calls our hooks as it does, in its own folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagecheck.assemble import boards
from support.units import TREE

BASIC = ("dirname", "basename", "tr", "sed", "openssl", "objcopy")
VKEY = "ward.example.org/state+306fb252+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
MAKE = """#!/bin/sh
set -e
while [ $# -gt 0 ]; do
    case $1 in
    -C) cd "$2" && shift ;;
    O=*) out=${1#O=} ;;
    BR2_EXTERNAL=*) common=${1#BR2_EXTERNAL=}/../common ;;
    defconfig) exec "$CONFIGURE" "$out" ;;
    esac
    shift
done
env >"$out/environment"
mkdir -p "$out/images" "$out/target/usr/lib"
printf 'IMAGE_VERSION=1.2.3\\n%s\\n' "${UNPINNED:+VARIANT_ID=unpinned}" >"$out/target/usr/lib/os-release"
"$common/rauc.sh" "$out/target" qemu_x86_64 1.2.3
"$common/built.sh" "$out/target"
for name in wardgate.img root.img boot.vfat kernel; do : >"$out/images/$name"; done
[ -n "${WARDGATE_BOOT_KEY:-}" ] || cp "$DEVELOPMENT" "$out/images/boot-certificate.pem"
"""
# Buildroot's configuration of a folder says for which board, and by which release.
CONFIGURE = """#!/bin/sh
board=$(sed -n 's/^BR2_ROOTFS_POST_SCRIPT_ARGS=//p' "$1/defconfig")
printf '# Buildroot 2026.02.3 Configuration\nBR2_ROOTFS_POST_SCRIPT_ARGS=%s\n' "$board" >"$1/.config"
mkdir -p "$1/build"
"""


def command(folder: Path, board: str, *programs: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it where nothing but `programs` is installed."""
    for name in programs:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        (folder / name).symlink_to(found)
    words = ["/bin/sh", str(TREE / "tools/image.sh"), board]
    return subprocess.run(words, env={"PATH": str(folder), **environment}, capture_output=True, text=True, timeout=60, check=False)


def certificate(folder: Path, name: str, subject: str) -> tuple[str, str]:
    """Make a key and its certificate in `folder`; return the names of both."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={subject}"]
    subprocess.run([*words, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"], check=True, capture_output=True, timeout=60)
    return f"{name}.key", f"{name}.pem"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree in which `tools/image.sh` comes to its end at once, with key files beside it."""
    for tool in ("openssl", "sbsign", "objcopy"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    made = tmp_path / "tree"
    (made / "tools").mkdir(parents=True)
    (made / "programs").mkdir()
    (made / ".venv/bin").mkdir(parents=True)
    (made / "buildroot").mkdir()
    (made / "buildroot/Makefile").write_text("export BR2_VERSION := 2026.02.3\n")
    for name in ("image", "board", "firmware", "pyproject.toml", "tools/imagecheck", "tools/mcu.py"):
        (made / name).symlink_to(TREE / name)
    shutil.copy(TREE / "tools/image.sh", made / "tools/image.sh")
    # The check of a whole Buildroot tree is a test of its own.
    passing = f'#!/bin/sh\n[ "$*" != "-m imagecheck buildroot" ] || exit 0\nexec {sys.executable} "$@"\n'
    for place, text in ((".venv/bin/python", passing), ("programs/make", MAKE), ("programs/configure", CONFIGURE)):
        (made / place).write_text(text)
        (made / place).chmod(0o755)
    certificate(made, "boot", "Example Hospital boot key")
    certificate(made, "releases", "Example Hospital releases")
    certificate(made, "development", "Wardgate development boot key (never for a hospital)")
    (made / "anchors").write_text(f"# provisioning\n{VKEY}\n")
    return made


def build(tree: Path, board: str = "qemu_x86_64", **words: str) -> subprocess.CompletedProcess[str]:
    """`make image` in that tree, with relative names as the pages have them."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("WARDGATE_", "STATE_", "BR2_", "UNPINNED"))}
    environment = {**clean, "PATH": f"{tree}/programs:{os.environ['PATH']}", "DEVELOPMENT": str(tree / "development.pem")}
    environment["CONFIGURE"] = str(tree / "programs/configure")
    argv = ["sh", "tools/image.sh", board]
    words = {"O": "out", "BUILDROOT_DIR": "buildroot", **words}
    return subprocess.run(argv, cwd=tree, env={**environment, **words}, capture_output=True, text=True, timeout=60, check=False)


RELEASE = {
    "STATE_ANCHORS": "anchors",
    "WARDGATE_KEYRING": "releases.pem",
    "WARDGATE_BOOT_KEY": "boot.key",
    "WARDGATE_BOOT_CERTIFICATE": "boot.pem",
}


def test_a_board_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    done = command(tmp_path, "another", *BASIC)
    assert done.returncode == 2 and done.stderr.split()[-len(boards()) :] == boards()


def test_what_the_last_step_needs_is_asked_for_before_the_first(tmp_path: Path) -> None:
    done = command(tmp_path, "qemu-x86_64", *BASIC)
    assert done.returncode == 1 and "sbsign is needed" in done.stderr and "apt-get install sbsigntool" in done.stderr


def test_a_folder_that_buildroot_does_not_take_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "nanopi_r2s", *BASIC, O=f"{tmp_path}/two words", BUILDROOT_DIR=os.devnull)
    assert done.returncode == 1 and "no folder with a space" in done.stderr
    assert not (tmp_path / "two words").exists()


def test_keys_named_from_where_it_was_called_are_found_by_buildroots_hooks_and_a_release_is_said_to_be_one(tree: Path) -> None:
    done = build(tree, **RELEASE, BR2_DL_DIR="archives")
    assert done.returncode == 0, done.stderr[-2000:]
    target = tree / "out/target"
    assert (target / "usr/share/wardgate/state-anchors").read_text() == (tree / "anchors").read_text()
    assert (target / "etc/rauc/keyring.pem").read_text() == (tree / "releases.pem").read_text()
    had = dict(line.split("=", 1) for line in (tree / "out/environment").read_text().splitlines() if "=" in line)
    assert {word: had[word] for word in RELEASE} == {word: str(tree / name) for word, name in RELEASE.items()}
    assert had["BR2_DL_DIR"] == str(tree / "archives")
    told = done.stdout
    assert "image: starts by     CN=Example Hospital boot key (SHA-256 " in told
    assert "image: updates by    CN=Example Hospital releases (SHA-256 " in told
    assert "image: state by      ward.example.org/state+306fb252" in told
    assert "image: a release, version 1.2.3, by its keys" in told and "NO RELEASE" not in told


def engine(tree: Path, status: int) -> None:
    """Stand in for an OpenSSL that has the engine for tokens, or has not."""
    program = tree / "programs/openssl"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" != "engine pkcs11" ] || exit {status}\nexec {shutil.which("openssl")} "$@"\n')
    program.chmod(0o755)


def test_a_boot_key_in_a_token_is_refused_where_nothing_could_sign_by_it(tree: Path) -> None:
    engine(tree, 1)
    done = build(tree, **{**RELEASE, "WARDGATE_BOOT_KEY": "pkcs11:token=boot;object=boot"})
    assert done.returncode == 1 and "apt-get install libengine-pkcs11-openssl" in done.stderr, done.stderr
    assert not (tree / "out/environment").exists()


def test_a_boot_key_in_a_token_goes_to_the_last_step_as_it_is_named(tree: Path) -> None:
    engine(tree, 0)
    done = build(tree, **{**RELEASE, "WARDGATE_BOOT_KEY": "pkcs11:token=boot;object=boot"})
    assert done.returncode == 0 and "image: a release" in done.stdout, done.stderr[-1000:]
    assert "WARDGATE_BOOT_KEY=pkcs11:token=boot;object=boot\n" in (tree / "out/environment").read_text()


def test_an_image_of_development_keys_says_plainly_that_it_is_no_release_and_why(tree: Path) -> None:
    done = build(tree, UNPINNED="yes")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "starts by     CN=Wardgate development boot key (never for a hospital) (SHA-256 " in done.stdout
    line = next(line for line in done.stdout.splitlines() if "NO RELEASE" in line)
    for reason in ("development boot key", "takes no update (WARDGATE_KEYRING)", "any state (STATE_ANCHORS)", "not the pinned Buildroot"):
        assert reason in line


def test_anchors_of_an_earlier_build_do_not_stay_in_the_image(tree: Path) -> None:
    assert build(tree, **RELEASE).returncode == 0
    done = build(tree, **{**RELEASE, "STATE_ANCHORS": ""})
    assert done.returncode == 0 and "any state (STATE_ANCHORS)" in done.stdout
    assert not (tree / "out/target/usr/share/wardgate/state-anchors").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        *(({**RELEASE, word: "nowhere"}, f"{word}=@/nowhere: no file") for word in RELEASE),
        ({"STATE_ANCHORS": "boot.pem"}, "STATE_ANCHORS=@/boot.pem: "),
        ({"WARDGATE_KEYRING": "anchors"}, "WARDGATE_KEYRING=@/anchors: no certificate in PEM"),
        ({"WARDGATE_BOOT_KEY": "boot.key"}, "WARDGATE_BOOT_CERTIFICATE= is needed with WARDGATE_BOOT_KEY="),
        ({**RELEASE, "WARDGATE_BOOT_CERTIFICATE": "releases.pem"}, "is not of the key WARDGATE_BOOT_KEY="),
        ({"WARDGATE_BOOT_KEY": "pkcs11:token=x"}, "WARDGATE_BOOT_CERTIFICATE= is needed with WARDGATE_BOOT_KEY="),
        ({"WARDGATE_FIT_KEY": "fit"}, "this board does not start by U-Boot"),
        # RAUC 1.15 reads no configuration with such a version: the box would take no update.
        ({**RELEASE, "WARDGATE_VERSION": "v1.2.3"}, "WARDGATE_VERSION=v1.2.3: "),
        ({**RELEASE, "WARDGATE_VERSION": "2026.12.1.1"}, "WARDGATE_VERSION=2026.12.1.1: "),
        ({**RELEASE, "WARDGATE_VERSION": "1.2.3-rc1"}, "WARDGATE_VERSION=1.2.3-rc1: "),
        ({"TOOLCHAIN": "nowhere"}, "TOOLCHAIN=nowhere: no file"),
        ({"EXTRA": "nowhere"}, "EXTRA=nowhere: no file"),
        ({"BUILDROOT_DIR": "two words"}, "BUILDROOT_DIR=two words: "),
    ],
)
def test_a_word_that_would_fail_at_the_end_is_refused_before_anything_is_built(tree: Path, words: dict[str, str], said: str) -> None:
    done = build(tree, **words)
    assert done.returncode == 1 and said.replace("@", str(tree)) in done.stderr, done.stderr[-1000:]
    assert not (tree / "out/environment").exists()


def fit_key(tree: Path, name: str, key: str, certificate_: str) -> None:
    """A folder as U-Boot's mkimage wants it, of a key and a certificate that were made by `certificate`."""
    (tree / name).mkdir()
    shutil.copy(tree / key, tree / name / "boot.key")
    shutil.copy(tree / certificate_, tree / name / "boot.crt")


def test_a_key_that_signs_for_uboot_is_held_against_the_certificate_that_is_compiled_in(tree: Path) -> None:
    fit_key(tree, "other", "boot.key", "releases.pem")
    for words in ({"WARDGATE_FIT_KEY": "other"}, {"WARDGATE_FIT_KEY": "other", "WARDGATE_FIT_CERTIFICATE": "development.pem"}):
        done = build(tree, "nanopi_r2s", **words)
        assert done.returncode == 1 and "is not of the key" in done.stderr and "boot.key" in done.stderr, done.stderr
    elliptic = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=boot"]
    subprocess.run([*elliptic, "-keyout", tree / "ec.key", "-out", tree / "ec.pem"], check=True, capture_output=True, timeout=60)
    fit_key(tree, "elliptic", "ec.key", "ec.pem")
    for words in ({"WARDGATE_FIT_KEY": "elliptic"}, {"WARDGATE_FIT_KEY": "pkcs11:token=x", "WARDGATE_FIT_CERTIFICATE": "ec.pem"}):
        done = build(tree, "nanopi_r2s", **words)
        assert done.returncode == 1 and "RSA with 2048 bits" in done.stderr, done.stderr
    assert not (tree / "out").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        ({"WARDGATE_FIT_KEY": "nowhere"}, "WARDGATE_FIT_KEY=@/nowhere: no folder with boot.key and boot.crt"),
        ({"WARDGATE_FIT_KEY": "pkcs11:token=x"}, "WARDGATE_FIT_CERTIFICATE= is needed"),
        ({"WARDGATE_BOOT_KEY": "boot.key", "WARDGATE_BOOT_CERTIFICATE": "boot.pem"}, "this board does not start by UEFI"),
        ({"WARDGATE_FIT_CERTIFICATE": "boot.pem"}, "WARDGATE_FIT_KEY= is needed with WARDGATE_FIT_CERTIFICATE="),
        ({"UBOOT_DIR": "nowhere"}, "UBOOT_DIR=@/nowhere: no folder"),
    ],
)
def test_the_same_for_a_board_with_uboot(tree: Path, words: dict[str, str], said: str) -> None:
    done = build(tree, "nanopi_r2s", **words)
    assert done.returncode == 1 and said.replace("@", str(tree)) in done.stderr, done.stderr[-1000:]
    assert not (tree / "out/environment").exists()


def _program(path: Path, machine: int) -> None:
    """The beginning of an EFI program (PE) for a machine."""
    path.write_bytes(b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + machine.to_bytes(2, "little") + bytes(100))


def test_the_stub_that_the_pinned_release_does_not_build_for_arm64_is_asked_for_before_the_hour(tree: Path) -> None:
    done = build(tree, "qemu-aarch64")
    assert done.returncode == 1 and "WARDGATE_STUB= is needed" in done.stderr and "systemd-boot-efi" in done.stderr
    _program(tree / "x64.stub", 0x8664)
    done = build(tree, "qemu-aarch64", WARDGATE_STUB="x64.stub")
    assert done.returncode == 1 and f"WARDGATE_STUB={tree}/x64.stub: no EFI program for aarch64" in done.stderr
    assert not (tree / "out/environment").exists()
    _program(tree / "aa64.stub", 0xAA64)
    assert build(tree, "qemu-aarch64", WARDGATE_STUB="aa64.stub").returncode == 0
    assert f"WARDGATE_STUB={tree}/aa64.stub\n" in (tree / "out/environment").read_text()


def test_no_word_of_buildroots_own_comes_to_it_in_the_environment(tree: Path) -> None:
    # GNU make exports what came from its environment with the value that its makefiles give it: the version would be the package's "local".
    recipe = (TREE / "image/buildroot/package/wardgate/wardgate.mk").read_text()
    own = {*re.findall(r"^(\w+) =", recipe, re.M), "UBOOT_DIR"}
    done = build(tree, **RELEASE, WARDGATE_VERSION="4.5.6", UBOOT_DIR="buildroot")
    assert done.returncode == 0, done.stderr[-2000:]
    had = dict(line.split("=", 1) for line in (tree / "out/environment").read_text().splitlines() if "=" in line)
    assert "WARDGATE_VERSION" in own and not own & set(had)
    assert had["WARDGATE_IMAGE_VERSION"] == "4.5.6"


@pytest.mark.parametrize("version", ["4.5.6", ""])
def test_buildroots_hook_finishes_the_root_with_the_version_that_was_given_and_not_its_packages(tmp_path: Path, version: str) -> None:
    for name in ("buildroot", "common", "target/boot"):
        (tmp_path / name).mkdir(parents=True)
    hook = shutil.copy(TREE / "image/buildroot/post-build.sh", tmp_path / "buildroot")
    (tmp_path / "common/finish.sh").write_text('#!/bin/sh\nprintf "%s %s" "$WARDGATE_VERSION" "$2" >"$1/told"\n')
    (tmp_path / "common/finish.sh").chmod(0o755)
    words = {"WARDGATE_VERSION": "local", "WARDGATE_IMAGE_VERSION": version}
    subprocess.run(["sh", hook, tmp_path / "target", "a_board"], env={**os.environ, **words}, check=True, timeout=60)
    assert (tmp_path / "target/told").read_text() == f"{version} a_board"
    assert not (tmp_path / "target/boot").exists()


def test_a_tree_that_lies_in_a_folder_with_a_blank_is_refused_before_anything_is_built(tree: Path) -> None:
    moved = tree.rename(tree.parent / "two words")
    done = build(moved)
    assert done.returncode == 1 and f"{moved}" in done.stderr and "a space" in done.stderr
    assert not (moved / "out").exists()


def test_a_folder_that_another_board_was_built_in_is_refused(tree: Path) -> None:
    assert build(tree, "pc_x86_64_efi").returncode == 0
    before = (tree / "out/defconfig").read_bytes()
    done = build(tree)
    assert done.returncode == 1 and "O=out" in done.stderr and "pc_x86_64_efi" in done.stderr, done.stderr
    assert (tree / "out/defconfig").read_bytes() == before
    assert build(tree, "pc-x86_64-efi").returncode == 0


def test_a_folder_that_another_release_of_buildroot_built_in_is_refused(tree: Path) -> None:
    assert build(tree).returncode == 0
    (tree / "buildroot/Makefile").write_text("export BR2_VERSION := 2026.05.1\n")
    done = build(tree)
    assert done.returncode == 1 and "2026.02.3" in done.stderr and "2026.05.1" in done.stderr and "O=out" in done.stderr, done.stderr


@pytest.mark.parametrize("folder", [".", "photographs"])
def test_a_folder_that_holds_something_else_is_not_built_in(tree: Path, folder: str) -> None:
    (tree / "photographs").mkdir()
    (tree / "photographs/one.jpg").touch()
    done = build(tree, O=folder)
    assert done.returncode == 1 and f"O={folder}" in done.stderr and "not empty" in done.stderr, done.stderr
    assert [path.name for path in (tree / "photographs").iterdir()] == ["one.jpg"] and not (tree / "defconfig").exists()


def test_a_build_that_was_interrupted_before_it_was_configured_is_begun_again(tree: Path) -> None:
    assert build(tree).returncode == 0
    (tree / "out/.config").unlink()
    assert build(tree).returncode == 0


def test_a_second_build_in_the_same_folder_does_not_begin_beside_the_first(tree: Path) -> None:
    assert build(tree).returncode == 0
    before = (tree / "out/environment").read_bytes()
    with (tree / "out/wardgate.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = build(tree, WARDGATE_VERSION="4.5.6")
    assert done.returncode == 1 and "another build" in done.stderr and "O=" in done.stderr, done.stderr
    assert (tree / "out/environment").read_bytes() == before
    assert build(tree).returncode == 0


def test_an_image_of_a_folder_whose_configuration_was_another_is_no_release(tree: Path) -> None:
    (tree / "more").write_text("BR2_PACKAGE_STRACE=y\n")
    assert "image: a release" in build(tree, **RELEASE).stdout
    assert "image: a release" in build(tree, **RELEASE, BR2_PRIMARY_SITE="http://mirror.example.org").stdout
    for extra in ("more", ""):  # also back again: what was built between is there
        told = build(tree, **RELEASE, EXTRA=extra).stdout
        assert "NO RELEASE" in told and "another configuration" in told, told
    assert "image: a release" in build(tree, **RELEASE, EXTRA="more", O="new").stdout


def test_where_buildroot_does_not_come_to_its_end_the_way_on_is_named(tree: Path) -> None:
    (tree / "programs/make").write_text(MAKE.replace("env >", "echo cannot download >&2; exit 2\nenv >"))
    done = build(tree)
    assert done.returncode == 1 and "cannot download" in done.stderr and "image: built" not in done.stdout
    for word in ("BR2_DL_DIR=", "BR2_PRIMARY_SITE=", "goes on"):
        assert word in done.stderr.splitlines()[-1], done.stderr
