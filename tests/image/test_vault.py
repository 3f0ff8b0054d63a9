"""The vault under a kernel with device mapper and a TPM 2.0 in software: made at the first boot, opened at the next, closed to others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import softtpm, vaultguest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.alone]
Said = dict[str, list[str]]


@pytest.fixture(scope="module")
def boots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """What the guest said: at the first boot, at the second, with another TPM (and the recovery key)."""
    vaultguest.need()
    folder: Path = tmp_path_factory.mktemp("vault")
    initrd, image = vaultguest.initramfs(folder), vaultguest.disk(folder)
    found = {}
    for name in ("first", "second"):
        with softtpm.tpm(folder / "chip") as chip:
            found[name] = vaultguest.boot(initrd, image, chip)
    with softtpm.tpm(folder / "other") as chip:
        found["other"] = vaultguest.boot(initrd, image, chip, f"recovery={recovery_key(found['first'])}")
    return found


def recovery_key(said: Said) -> str:
    keys = re.findall(r"^\s+([cbdefghijklnrtuv]{8}(?:-[cbdefghijklnrtuv]{8}){7})$", said["console"][0], re.M)
    assert len(keys) == 1, said["console"][0][-3000:]
    return str(keys[0])


def test_the_first_boot_makes_the_vault_and_opens_it_with_the_tpm(boots: dict[str, Said]) -> None:
    said = boots["first"]
    assert any("WG948" in line for line in said["log"]) and any("WG949" in line for line in said["log"]), said["log"]
    assert "vault" in " ".join(said["mapper"]).split()
    assert any("vault-made" in line for line in said["kept"])


def test_the_recovery_key_is_shown_at_the_first_boot_alone(boots: dict[str, Said]) -> None:
    key = recovery_key(boots["first"])
    assert not any(key in line for word in ("log", "kept") for line in boots["first"][word])
    assert key not in boots["second"]["console"][0]


def test_no_slot_is_left_but_tpm_and_recovery(boots: dict[str, Said]) -> None:
    slots = boots["first"]["slot"]
    assert sum("luks2" in line for line in slots) == 2, slots
    assert sorted(line.split()[1] for line in slots if "systemd" in line) == ["systemd-recovery", "systemd-tpm2"]


def test_the_partition_reaches_to_the_end_of_a_larger_disk(boots: dict[str, Said]) -> None:
    assert int(boots["first"]["sectors"][0]) > (140 << 20) // 512
    assert int(boots["first"]["room"][0].split()[1]) > 100  # MiB, less LUKS's head


def test_the_second_boot_finds_what_was_written(boots: dict[str, Said]) -> None:
    said = boots["second"]
    assert "marker" not in boots["first"]
    assert said["marker"] == ["written at the first boot"]
    assert not any("WG948" in line for line in said["log"]), "it is not made again"


def test_another_tpm_leaves_it_closed_in_a_named_state_that_is_kept_for_the_log(boots: dict[str, Said]) -> None:
    said = boots["other"]
    assert any("WG945" in line for line in said["log"]), said["log"]
    assert "vault" not in " ".join(said["mapper"]).split() and "marker" not in said
    assert any(line.startswith("vault-closed: WG945") for line in said["standing"])
    assert any("vault-closed" in line for line in said["kept"])


def test_the_recovery_key_opens_it_then(boots: dict[str, Said]) -> None:
    assert boots["other"]["recovered"] == ["yes"]
