"""`image/common/needed.sh`: a root that lacks a program or library of ours is refused, and the list has what the vault is made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.units import COMMON, UNITS, read_unit
from wardgate.provision.vault import Policy, Recovery, Unlock, grow_steps, make_steps

NEEDED = [line for line in (COMMON / "needed").read_text().splitlines() if not line.startswith("#")]


def _started() -> set[str]:
    """Return the programs that units start, as paths below a root, without those that a unit may do without."""
    lines = [
        line
        for unit in UNITS.glob("*.service")
        for key, said in read_unit(unit)["Service"].items()
        if key.startswith("Exec")
        for line in said
    ]
    return {line.lstrip("-+!@:").split()[0][1:] for line in lines} - {"usr/bin/rauc-hawkbit-updater"}


def _root(folder: Path) -> Path:
    """A root with an empty file for everything that is needed."""
    for name in (*(f"usr/bin/{name}" for name in NEEDED), *_started()):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return folder


def _judge(root: Path) -> tuple[int, str]:
    done = subprocess.run([COMMON / "needed.sh", root], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_root_with_all_of_it_passes(tmp_path: Path) -> None:
    assert _judge(_root(tmp_path)) == (0, "")


def test_a_root_without_anything_is_refused_and_all_that_it_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    status, told = _judge(tmp_path)
    assert status == 1
    assert set(told.partition(" has no ")[2].split()) == {*NEEDED, *(f"/{path}" for path in _started())}


@pytest.mark.parametrize("name", ["sfdisk", "libtss2-esys.so.0", "legacy.so"])
def test_one_that_a_root_lacks_is_named_alone(tmp_path: Path, name: str) -> None:
    root = _root(tmp_path)
    (root / "usr/bin" / name).unlink()
    assert _judge(root) == (1, f"needed: the root has no {name}\n")


@pytest.mark.parametrize("target", ["ip", "../bin/ip", "/usr/bin/ip", "../sbin/gone", "/usr/sbin/back"])
def test_a_link_that_leads_to_no_file_of_the_root_is_none(tmp_path: Path, target: str) -> None:
    root = _root(tmp_path)
    (root / "usr/sbin/back").symlink_to("../bin/ip")
    (root / "usr/bin/ip").unlink()
    (root / "usr/bin/ip").symlink_to(target)
    assert _judge(root) == (1, "needed: the root has no ip\n")


@pytest.mark.parametrize("target", ["busybox", "/usr/bin/busybox", "../sbin/over"])
def test_a_link_to_another_program_of_the_root_is_one(tmp_path: Path, target: str) -> None:
    root = _root(tmp_path)
    (root / "usr/bin/busybox").touch()
    (root / "usr/sbin/over").symlink_to("/usr/bin/busybox")
    (root / "usr/bin/ip").unlink()
    (root / "usr/bin/ip").symlink_to(target)
    assert _judge(root) == (0, "")


def test_what_systemd_calls_for_our_mount_units_is_on_the_list() -> None:
    assert list(UNITS.glob("*.mount"))
    assert {"mount", "umount"} <= set(NEEDED)


def test_every_program_that_makes_or_grows_the_vault_is_on_the_list() -> None:
    policy = Policy(unlock=(Unlock.TPM2, Unlock.PKCS11), pkcs11_uri="pkcs11:token=x", recovery=Recovery.CONSOLE)
    steps = [*make_steps("systemd-cryptsetup", "/dev/vault", policy, "/run/key"), *grow_steps("/dev/sda", 7)]
    assert {step.argv[0] for step in steps} <= set(NEEDED)
