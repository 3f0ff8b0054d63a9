"""`tools/setup.sh` and `tools/venv.sh`: the environment is that of the tree it lies in, one that was begun is finished, what needs no
package asks for none. Python and its package manager are stood in for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sbom.ours import TREE

PYTHON = """#!/bin/sh
own=$(dirname "$0")/..
case "$1 $2" in
"--version "*) echo Python 3.11.2 ;;
"-m venv")
    for venv; do :; done
    [ "$3" != --clear ] || rm -rf "$venv"
    mkdir -p "$venv/bin" "$venv/lib/python${MINOR:-3.11}/site-packages"
    (cd "$venv" && echo "VIRTUAL_ENV=$(pwd -P)" >bin/activate)
    [ "$3" != --without-pip ] || { echo activate >>"$LOG" && exit; }
    cp "$0" "$venv/bin/python" && : >"$venv/pip" && echo venv >>"$LOG"
    ;;
"-m pip")
    [ -f "$own/pip" ] || { echo "No module named pip" >&2; exit 1; }
    [ "$3" != --version ] || exit 0
    echo install >>"$LOG"
    [ -z "${OFFLINE:-}" ] || { echo "ERROR: No matching distribution found" >&2; exit 1; }
    for site in "$own"/lib/python3*/site-packages; do : >"$site/__editable__.wardgate-0.1.0.pth"; done
    ;;
"-c "*) echo "${MINOR:-3.11}" ;;
esac
"""


class Place:
    """A tree of its own with the scripts."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.log, self.python = folder / "tree", folder / "log", folder / "python"
        (self.tree / "tools").mkdir(parents=True)
        for name in ("venv.sh", "setup.sh"):
            shutil.copy(TREE / "tools" / name, self.tree / "tools" / name)
        (self.tree / "pyproject.toml").write_text("[project]\n")
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)

    def begin(self, **words: str) -> subprocess.Popen[str]:
        argv = [self.tree / "tools/venv.sh", self.python, ".venv"]
        environment = {**os.environ, "LOG": str(self.log), **words}
        return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def make(self, **words: str) -> tuple[int, str]:
        process = self.begin(**words)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    @property
    def done(self) -> list[str]:
        """What Python was asked for."""
        return self.log.read_text().split() if self.log.exists() else []

    def paths(self) -> list[str]:
        (path,) = self.tree.glob(".venv/lib/python3*/site-packages/__editable__.wardgate-*.pth")
        return path.read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_is_made_once(place: Place) -> None:
    assert place.make()[0] == 0
    assert place.make() == (0, "")
    assert place.done == ["venv", "install"]
    assert place.paths() == [f"{place.tree}/{name}" for name in ("firmware", "hsm", "tools")]


def test_it_is_made_once_in_a_tree_behind_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place.tree)
    place.tree = tmp_path / "link"
    for _ in range(2):
        assert place.make(PWD=str(place.tree))[0] == 0
    assert place.done == ["venv", "install"]


def test_the_environment_of_a_tree_that_was_copied_has_not_the_modules_of_the_one_it_was_copied_from(place: Place, tmp_path: Path) -> None:
    assert place.make()[0] == 0
    place.tree = Path(shutil.copytree(place.tree, tmp_path / "copy"))
    status, _ = place.make(OFFLINE="yes")
    assert status == 0 and place.paths()[0] == f"{tmp_path}/copy/firmware"
    assert place.done == ["venv", "install", "activate"], "nothing is fetched for it"


def test_the_commands_of_a_tree_that_was_copied_are_its_own(tmp_path: Path) -> None:
    """With a real environment, less what is fetched."""
    place = Place(tmp_path)
    for name in ("first", "two words"):
        tree = tmp_path / name
        if name == "first":
            place.tree.rename(tree)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", tree / ".venv"], check=True, timeout=60)
            # As pip leaves them.
            for command in ("wardgate", "wardtool"):
                (tree / ".venv/bin" / command).write_text(f"#!{tree}/.venv/bin/python\nprint('of the first')\n")
                (tree / ".venv/bin" / command).chmod(0o755)
            stamp = subprocess.run(
                "cat pyproject.toml tools/venv.sh | sha256sum", shell=True, cwd=tree, capture_output=True, text=True, check=True
            )
            (tree / ".venv/.stamp").write_text(stamp.stdout)
        else:
            shutil.copytree(tmp_path / "first", tree, symlinks=True)
        for module in ("tools/wardtools/main.py", "firmware/wardgate/main.py"):
            (tree / module).parent.mkdir(parents=True, exist_ok=True)
            (tree / module).write_text(f"import sys\nprint({name!r}, sys.prefix)\n")
        (site,) = (tree / ".venv/lib").glob("python3*/site-packages")
        (site / "__editable__.wardgate-0.1.0.pth").touch()
        subprocess.run([tree / "tools/venv.sh", sys.executable, ".venv"], check=True, timeout=60)
        for command in ("wardgate", "wardtool"):
            for line in (f"'{tree}/.venv/bin/{command}'", f". '{tree}/.venv/bin/activate'; {command}"):
                done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
                assert done.stdout == f"{name} {tree}/.venv\n", (line, done.stderr)


def test_one_behind_a_link_is_another_trees_and_left_as_it_is(place: Place, tmp_path: Path) -> None:
    assert place.make()[0] == 0
    first = place.tree
    place.tree = Path(shutil.copytree(place.tree, tmp_path / "copy", ignore=shutil.ignore_patterns(".venv")))
    (place.tree / "pyproject.toml").write_text("[project]\nname = 'newer'\n")
    (place.tree / ".venv").symlink_to(first / ".venv")
    assert place.make() == (0, "")
    assert place.paths()[0] == f"{first}/firmware" and place.done == ["venv", "install"]


def test_one_that_was_interrupted_before_it_had_a_package_manager_is_made_anew(place: Place) -> None:
    (place.tree / ".venv/bin").mkdir(parents=True)
    shutil.copy(place.python, place.tree / ".venv/bin/python")
    status, said = place.make()
    assert status == 0, said
    assert place.done == ["venv", "install"]


def test_one_whose_python_is_another_by_now_is_made_anew(place: Place) -> None:
    assert place.make()[0] == 0
    assert place.make(MINOR="3.13")[0] == 0
    assert place.done == ["venv", "install"] * 2
    (place.tree / ".venv/bin/python").unlink()
    (place.tree / ".venv/bin/python").symlink_to("/usr/bin/python3.gone")
    assert place.make()[0] == 0
    assert place.done == ["venv", "install"] * 3


def test_without_network_it_says_what_it_would_have_fetched_and_from_where(place: Place) -> None:
    status, said = place.make(OFFLINE="yes")
    assert status == 1 and "No matching distribution" in said
    assert "setup: .venv was not made" in said and "PIP_INDEX_URL" in said
    assert place.make()[0] == 0


@contextlib.contextmanager
def _held(lock: Path, begin: Callable[[], subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock while something is begun, until that waits for it or ends."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = begin()
        # A line of one that waits for a lock begins with an arrow (proc_locks(5)).
        waits = f":{os.fstat(file.fileno()).st_ino} "
        while second.poll() is None and not any("->" in line and waits in line for line in Path("/proc/locks").read_text().splitlines()):
            time.sleep(0.01)
        yield second


def test_who_comes_while_another_makes_it_waits_and_takes_it(place: Place) -> None:
    with _held(place.tree / "build/venv.lock", place.begin) as second:
        assert place.done == []
    said, _ = second.communicate(timeout=60)
    assert "another one is at work" in said
    assert second.returncode == 0 and place.done == ["venv", "install"]


def test_two_set_ups_do_not_install_packages_at_once(place: Place, tmp_path: Path) -> None:
    environment = _programs(place, tmp_path / "programs", status=0)

    def begin() -> subprocess.Popen[str]:
        words = [place.tree / "tools/setup.sh"]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    with _held(place.tree / "build/setup.lock", begin) as second:
        assert place.done == [], "what is installed is asked when the other one has ended"
    said, _ = second.communicate(timeout=60)
    assert "another one is at work" in said
    assert second.returncode == 0 and {"dpkg-query", "make", "install"} <= set(place.done), said


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["flash", "cve-report", "supervisor", "codes", "configuration", "image-configs"])
def test_what_needs_no_package_of_the_system_installs_none(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=TREE, capture_output=True, text=True, timeout=60, check=True)
    assert "tools/setup.sh venv\n" in done.stdout and "tools/setup.sh\n" not in done.stdout


def _programs(place: Place, folder: Path, status: int) -> dict[str, str]:
    """Stand in for what installs and builds; return the environment that has them first."""
    folder.mkdir()
    for name in ("dpkg-query", "apt-get", "make"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"$LOG"\necho install ok installed\nexit {status}\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "LOG": str(place.log), "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(place.python)}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_image_is_built_after_what_buildroot_builds_with_was_installed(place: Place, tmp_path: Path) -> None:
    # support/dependencies/dependencies.sh of the pinned release asks for these; what Debian always has is left out.
    wanted = {"file", "make", "gcc", "g++", "perl", "wget", "cpio", "unzip", "rsync", "bc", "patch", "bzip2"}
    said = subprocess.run(["make", "-n", "image"], cwd=TREE, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "tools/setup.sh image\n" in said
    words = [place.tree / "tools/setup.sh", "image"]
    subprocess.run(words, env=_programs(place, tmp_path / "programs", status=0), capture_output=True, timeout=60, check=True)
    assert wanted <= set(place.done), wanted - set(place.done)
    assert "rsync" not in subprocess.run(["grep", "^PACKAGES=", TREE / "tools/setup.sh"], capture_output=True, text=True, check=True).stdout


def test_for_those_no_package_is_asked_for_and_nothing_compiled(place: Place, tmp_path: Path) -> None:
    environment = _programs(place, tmp_path / "programs", status=1)
    words = [place.tree / "tools/setup.sh", "venv"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert place.done == ["venv", "install"]


@pytest.mark.skipif(shutil.which("make") is None or shutil.which("cc") is None, reason="make or a compiler is not installed")
def test_the_module_for_keys_in_a_token_is_built_in_a_tree_whose_folder_has_a_blank(tmp_path: Path) -> None:
    tree = tmp_path / "two words"
    shutil.copytree(TREE / "hsm/provider", tree / "hsm/provider")
    shutil.copy(TREE / "Makefile", tree / "Makefile")
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n: >"$2"\n')
    compiler.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | {"CC": str(compiler)}
    done = subprocess.run(["make", "provider"], cwd=tree, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tree / "build/provider/wardkeys.so").is_file() and not (tmp_path / "two").exists()
