"""`make image` without BUILDROOT_DIR=: the pinned release is fetched, here from a repository made for it, and nothing else is taken."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.units import TREE

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

# Stands for Python: says what it was started with. Who signs is asked first (`test_image_command`); the check of the tree fails.
PYTHON = '#!/bin/sh\necho "python $*"\n[ "$2" = imagecheck.signers ]\n'


def _git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


class Place:
    """A copy of what the command reads, pinned to one release of a repository that lies beside it."""

    def __init__(self, folder: Path) -> None:
        self.release, self.tree = folder / "release", folder / "tree"
        self.release.mkdir()
        _git(self.release, "init", "-q")
        self.commit()
        for name in ("tools/image.sh", "image/buildroot/buildroot.pin", "image/buildroot/board/nanopi_r2s/board.config"):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TREE / name, self.tree / name)
        shutil.copy(TREE / "board/nanopi_r2s/board.toml", self.tree / "image/buildroot/board/nanopi_r2s/board.toml")
        (self.tree / ".venv/bin").mkdir(parents=True)
        (self.tree / ".venv/bin/python").write_text(PYTHON)
        (self.tree / ".venv/bin/python").chmod(0o755)
        self.pin(url=self.release.as_uri(), commit=_git(self.release, "rev-parse", "HEAD"))

    def commit(self) -> None:
        """Make a commit of the release, and move its tag there."""
        (self.release / "Makefile").write_text(f"# {len(list(self.release.iterdir()))}\n")
        (self.release / f"file{os.urandom(4).hex()}").touch()
        _git(self.release, "add", ".")
        _git(self.release, "commit", "-q", "-m", "release")
        _git(self.release, "tag", "-f", "2026.02.3")

    def pin(self, **words: str) -> None:
        path = self.tree / "image/buildroot/buildroot.pin"
        text = path.read_text()
        for name, value in words.items():
            text = re.sub(rf'^{name} = ".*"$', f'{name} = "{value}"', text, flags=re.M)
        path.write_text(text)

    def begin(self) -> subprocess.Popen[str]:
        """Start the command. It ends at the check, whose Python is a stand-in."""
        environment = {name: value for name, value in os.environ.items() if name not in ("BUILDROOT_DIR", "O")}
        words = [self.tree / "tools/image.sh", "nanopi_r2s"]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def make(self) -> tuple[int, str]:
        """Return exit status and what was said."""
        process = self.begin()
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def fetched(self) -> list[str]:
        """What lies where trees are fetched to."""
        return sorted(path.name for path in (self.tree / "build").glob("*") if path.is_dir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_pinned_release_is_fetched_once_and_checked_before_anything_is_built(place: Place) -> None:
    for _ in range(2):
        status, said = place.make()
        assert status == 1 and "python -m imagecheck build/buildroot-2026.02.3\n" in said, said
        assert "the check above must hold before a build" in said
        assert place.fetched() == ["buildroot-2026.02.3"]
        shutil.rmtree(place.release, ignore_errors=True)  # what was fetched is kept


def test_a_release_whose_tag_was_moved_is_not_taken(place: Place) -> None:
    place.commit()
    status, said = place.make()
    assert status == 1 and "what was fetched is not the pinned commit" in said
    assert "-m imagecheck build" not in said and "buildroot-2026.02.3" not in place.fetched()


def test_where_nothing_can_be_fetched_the_way_out_is_named(place: Place) -> None:
    place.pin(url=(place.tree / "nowhere").as_uri())
    status, said = place.make()
    assert status == 1 and "cannot be fetched; give BUILDROOT_DIR=" in said
    assert place.fetched() == []


def test_who_comes_while_another_fetches_waits_and_takes_what_was_fetched(place: Place) -> None:
    lock = place.tree / "build/buildroot.lock"
    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shutil.rmtree(place.release)  # nothing can be fetched twice
        second = place.begin()
        # A line of one that waits for a lock begins with an arrow (proc_locks(5)).
        waits = f":{os.fstat(file.fileno()).st_ino} "
        while second.poll() is None and not any("->" in line and waits in line for line in Path("/proc/locks").read_text().splitlines()):
            time.sleep(0.01)
        (place.tree / "build/buildroot-2026.02.3").mkdir()
    said, _ = second.communicate(timeout=60)
    assert "python -m imagecheck build/buildroot-2026.02.3\n" in said, said
