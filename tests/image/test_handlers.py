"""RAUC's handlers of the image as programs: which unit they start. systemctl is a stand-in that writes down its words."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import OVERLAY

LIB = OVERLAY / "usr/lib/wardgate"


def started(folder: Path, name: str, status: int = 0, **environment: str) -> tuple[int, list[str]]:
    """Run a handler; return its exit status and what it had systemctl do."""
    if shutil.which("systemd-escape") is None:
        pytest.skip("systemd-escape is not installed (apt-get install systemd)")
    (folder / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{folder}/words\nexit {status}\n')
    (folder / "systemctl").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run([LIB / name], env={"PATH": path, "WARDGATE_FETCHED": f"{folder}/fetched", **environment}, check=False, timeout=30)
    return done.returncode, (folder / "words").read_text().splitlines()


def instance(line: str) -> str:
    """Return of which instance of `wardgate-install@` a line of words to systemctl speaks."""
    unit = line.rsplit(maxsplit=1)[-1]
    assert unit.startswith("wardgate-install@")
    told = subprocess.run(["systemd-escape", "--unescape", "--instance", unit], capture_output=True, text=True, check=True, timeout=30)
    return told.stdout.strip()


@pytest.mark.parametrize("name, whens", [("before-install", ["before", "over"]), ("after-install", ["after"])])
def test_a_handler_starts_the_units_of_its_moment_and_version(folder: Path, name: str, whens: list[str]) -> None:
    status, words = started(folder, name, RAUC_META_WARDGATE_VERSION="2.0.0-rc1+b")
    assert status == 0
    assert [instance(line) for line in words] == [f"{when}:2.0.0-rc1+b" for when in whens]
    assert words[0].startswith("start wardgate")


def test_rauc_goes_on_while_the_end_of_its_install_is_waited_for(folder: Path) -> None:
    """The unit of an install before this one, which may not have seen its end yet, must not stand for this one."""
    _, words = started(folder, "before-install", RAUC_META_WARDGATE_VERSION="2.0.0")
    assert words[1].startswith("restart --no-block wardgate-install@over")


def test_a_bundle_without_our_word_for_its_version_names_none(folder: Path) -> None:
    """`before:none` is refused: none is no version."""
    assert started(folder, "before-install", status=1)[1] == ["start wardgate-install@before:none.service"]


def test_rauc_is_told_when_the_unit_fails_and_no_end_is_waited_for(folder: Path) -> None:
    status, words = started(folder, "before-install", status=1, RAUC_META_WARDGATE_VERSION="2.0.0")
    assert status != 0 and len(words) == 1


def test_what_a_server_brought_stops_its_client_and_starts_the_box_again_when_it_is_recorded(folder: Path) -> None:
    (folder / "fetched").write_bytes(b"bundle")
    status, words = started(folder, "after-install", RAUC_META_WARDGATE_VERSION="2.0.0")
    assert status == 0 and not (folder / "fetched").exists()
    digest = hashlib.sha1(b"bundle", usedforsecurity=False).hexdigest()
    first, *rest = words
    assert instance(first) == f"after:2.0.0:{digest}"
    assert rest == ["stop wardgate-hawkbit.service", "start --no-block wardgate-restart.service"]


def test_before_an_install_the_client_is_left_alone(folder: Path) -> None:
    (folder / "fetched").write_bytes(b"bundle")
    status, words = started(folder, "before-install", RAUC_META_WARDGATE_VERSION="2.0.0")
    assert status == 0 and len(words) == 2 and (folder / "fetched").exists()


def test_an_install_that_could_not_be_recorded_stops_nothing(folder: Path) -> None:
    (folder / "fetched").write_bytes(b"bundle")
    status, words = started(folder, "after-install", status=1, RAUC_META_WARDGATE_VERSION="2.0.0")
    assert status != 0 and len(words) == 1 and (folder / "fetched").exists()
