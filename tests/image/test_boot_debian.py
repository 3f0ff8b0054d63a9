"""The appliance on a root of Debian packages, booted in emulation: smoke. `make image-test`; skipped elsewhere, it takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import bootbox
from support.bootbox import said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the box said, from power on to power off."""
    bootbox.need_tools()
    folder: Path = tmp_path_factory.mktemp("boot")
    bootbox.build(folder)
    return bootbox.boot(folder, bootbox.make_disk(folder))


def test_every_service_of_ours_is_active(console: list[str]) -> None:
    units = dict(line.split(".service ") if ".service " in line else line.split(" ", 1) for line in said(console, "unit"))
    assert units == dict.fromkeys(("wardgate", "wardkeys", "wardgate-firewall", "wardgate-ports"), "active"), "\n".join(
        said(console, "log")
    )


def test_no_unit_failed(console: list[str]) -> None:
    assert said(console, "failed") == []


def test_exactly_what_is_declared_listens(console: list[str]) -> None:
    assert [line.split()[4] for line in said(console, "socket")] == ["192.0.2.1:104"]


def test_the_firewall_is_closed_but_for_the_policy(console: list[str]) -> None:
    rules = said(console, "rule")
    assert sum("policy drop" in line for line in rules) == 2
    assert [line.strip() for line in rules if "dport" in line] == ["ip saddr 192.0.2.10 ip daddr 192.0.2.1 tcp dport 104 accept"]


def test_each_process_has_its_own_account(console: list[str]) -> None:
    accounts = {tuple(line.split(None, 1)) for line in said(console, "process")}
    assert {user for user, _ in accounts} == {"wardgate", "wardkeys"}
    assert all(user == ("wardkeys" if "-m wardkeys" in words else "wardgate") for user, words in accounts)


def test_the_root_cannot_be_written(console: list[str]) -> None:
    assert any("squashfs" in line and "ro" in line for line in said(console, "root"))
    assert all("Read-only file system" in line for line in said(console, "write"))
    assert len(said(console, "write")) == 2


def test_no_shell_waits_for_anybody(console: list[str]) -> None:
    """No process has a terminal but the reporter's own."""
    assert said(console, "shell") == []
