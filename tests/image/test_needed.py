"""`image/common/needed.sh`: a root that lacks a program or library of ours is refused, and the list has what the vault is made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.units import COMMON, UNITS, read_unit
from wardgate.provision.vault import Policy, Recovery, Unlock, grow_steps, make_steps

NEEDED = [line for line in (COMMON / "needed").read_text().splitlines() if not line.startswith("#")]


def _root(folder: Path) -> Path:
    """A root with an empty file for everything that is needed, and none that a unit may do without."""
    named = [f"usr/bin/{name}" for name in NEEDED]
    for path in UNITS.glob("*.service"):
        unit = read_unit(path)
        lines = [line for key, lines in unit["Service"].items() if key.startswith("Exec") for line in lines]
        named += [line.lstrip("-+!@:").split()[0][1:] for line in lines]
    for name in named:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    (folder / "usr/bin/rauc-hawkbit-updater").unlink()
    return folder


def _judge(root: Path) -> tuple[int, str]:
    done = subprocess.run([COMMON / "needed.sh", root], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_root_with_all_of_it_passes(tmp_path: Path) -> None:
    assert _judge(_root(tmp_path)) == (0, "")


@pytest.mark.parametrize("path", ["usr/bin/sfdisk", "usr/bin/libtss2-esys.so.0", "usr/sbin/nft", "bin/sleep", "usr/bin/umount"])
def test_what_a_root_lacks_is_named(tmp_path: Path, path: str) -> None:
    root = _root(tmp_path)
    for place in (root / path, root / "usr/bin" / Path(path).name):
        place.unlink(missing_ok=True)
    status, told = _judge(root)
    assert status == 1
    assert Path(path).name in told


def test_every_program_that_makes_or_grows_the_vault_is_on_the_list() -> None:
    policy = Policy(unlock=(Unlock.TPM2, Unlock.PKCS11), pkcs11_uri="pkcs11:token=x", recovery=Recovery.CONSOLE)
    steps = [*make_steps("systemd-cryptsetup", "/dev/vault", policy, "/run/key"), *grow_steps("/dev/sda", 7)]
    assert {step.argv[0] for step in steps} <= set(NEEDED)
