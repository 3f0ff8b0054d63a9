"""The systemd units of the image, judged by systemd's own tools."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.units import (
    COMMON,
    OVERLAY,
    PROGRAMS,
    TREE,
    UNITS,
    analyze,
    need_systemd_analyze,
    rauc_root,
    read_unit,
    services,
    unit_root,
)
from wardgate.migration.areas import OWN, ROOTS, Area
from wardgate.supervisor.shown import PATH

EXPOSURE = 2.0


def _users() -> set[str]:
    lines = (OVERLAY / "usr/lib/sysusers.d/wardgate.conf").read_text().splitlines()
    return {line.split()[1] for line in lines if line.startswith("u ")}


@pytest.mark.parametrize("path", sorted(UNITS.rglob("*.*")), ids=lambda path: path.name)
def test_every_unit_parses(path: Path) -> None:
    if path.is_file():
        assert read_unit(path)


def test_there_are_the_services_that_the_processes_need() -> None:
    assert {path.stem for path in services()} == {
        *("wardgate", "wardkeys", "wardgate-firewall", "wardgate-ports", "wardgate-netd", "wardgate-management"),
        *("wardgate-state", "wardgate-vault", "wardgate-vault-retry", "wardgate-update", "wardgate-stick@"),
        *("wardgate-install@", "wardgate-hawkbit-begin", "wardgate-hawkbit", "wardgate-restart"),
        *("wardgate-custody", "wardgate-custody-prune", "wardgate-custody-witness", "wardgate-audit", "wardgate-audit-handover"),
        "wardgate-custody-handover",
        *("wardgate-supervisor", "wardgate-migrate", "wardgate-migrate-vault"),
    }


@pytest.mark.parametrize("path", services(), ids=lambda path: path.stem)
def test_a_service_runs_as_a_declared_account_and_never_as_root(path: Path) -> None:
    service = read_unit(path)["Service"]
    assert service["User"][0] in _users()
    groups = {name for line in service.get("SupplementaryGroups", []) for name in line.split()}
    assert groups <= _users() | {"input"}  # systemd's own: the button of break-glass


@pytest.mark.parametrize("path", services(), ids=lambda path: path.stem)
def test_no_command_of_a_service_mounts(path: Path) -> None:
    """Each command has a mount namespace of its own, with a plus sign too: the next one would not see it."""
    for name, lines in read_unit(path)["Service"].items():
        if name.startswith("Exec"):
            assert not any(line.lstrip("+-!@:").split()[0].endswith("/mount") for line in lines), lines


@pytest.mark.parametrize("path", services(), ids=lambda path: path.stem)
def test_what_a_service_starts_is_in_the_tree(path: Path) -> None:
    service = read_unit(path)["Service"]
    more = [line for name in ("ExecReload", "ExecCondition", "ExecStartPre") for line in service.get(name, [])]
    for line in [*service["ExecStart"], *more]:
        words = line.removeprefix("+").split()
        assert words[0] in PROGRAMS
        if words[0].endswith("python3"):
            name = words[words.index("-m") + 1].replace(".", "/")
            places = [TREE / base / f"{name}{end}" for base in ("firmware", "hsm") for end in (".py", "/__main__.py")]
            assert any(place.is_file() for place in places), line
        for word in words[1:]:
            if word.startswith("/usr/share/"):
                assert (OVERLAY / word[1:]).is_file()


SPELLINGS = {
    "wardgate-audit-handover": ["audit.socket = '/run/wardgate-audit/a.sock'", 'audit.socket = "/run/wardgate\\u002daudit/a.sock"'],
    "wardgate-custody-prune": ["custody = { retention_days = 9 }", 'custody = { "retention\\u005fdays" = 9 }'],
    "wardgate-custody-witness": [
        *("[[custody.witness]]", "[[custody . witness]]", "[[custody.'witness']]", '[["custody".witness]]', "custody = { witness = [] }"),
        *("[custody]\nwitness = []", '[[custody."\\u0077itness"]]'),
    ],
    "wardgate-management": ["[plant.management]", '["\\u0070lant".management]'],
    "wardgate-netd": ["[plant]", "plant.ports = 'all'", '["pl\\U00000061nt"]'],
}


def _looks() -> list[tuple[str, str]]:
    """The looks for a word in the policy, before a program is asked that can read it."""
    found = [(path.stem, line) for path in services() for line in read_unit(path)["Service"].get("ExecCondition", [])]
    return [(name, line) for name, line in found if line.startswith("/usr/bin/grep ")]


@pytest.mark.parametrize(("name", "line"), _looks(), ids=[name for name, _ in _looks()])
def test_a_look_for_a_word_finds_it_however_toml_spells_it(tmp_path: Path, name: str, line: str) -> None:
    policy = tmp_path / "wardgate.toml"
    words = [str(policy) if word == "/etc/wardgate/wardgate.toml" else word for word in shlex.split(line)]
    for text, status in [(text, 0) for text in SPELLINGS[name]] + [("[box]\nname = 'x'", 1)]:
        tomllib.loads(text)
        policy.write_text(text)
        for program in filter(None, (shutil.which("grep"), shutil.which("busybox") and "busybox")):
            command = [program, *(["grep"] if program == "busybox" else []), *words[1:]]
            assert subprocess.run(command, check=False, timeout=60).returncode == status, (program, text)


@pytest.mark.parametrize("path", services(), ids=lambda path: path.stem)
def test_a_service_that_stays_says_when_it_is_ready_and_is_ended_when_it_hangs(path: Path) -> None:
    """One that runs once needs neither: with WatchdogSec= or Type=notify it would be killed or never be ready."""
    service = read_unit(path)["Service"]
    if service["Type"][0] == "oneshot":
        assert "WatchdogSec" not in service
    elif service["ExecStart"][0].startswith("/usr/sbin/sshd "):  # it knows no watchdog
        assert service["Type"] == ["exec"] and "WatchdogSec" not in service and service["Restart"] == ["always"]
    elif path.stem in ("wardgate-custody", "wardgate-audit"):  # the gateway starts beside them; they ask for a shorter time when they serve
        assert service["Type"] == ["exec" if path.stem == "wardgate-custody" else "simple"]
        assert service["NotifyAccess"] == ["main"] and service["WatchdogSec"] == ["300"]
        assert service["Restart"] == ["always"]
    else:
        assert service["Type"] == ["notify"]
        assert 30 <= int(service["WatchdogSec"][0]) <= 120
        assert service["Restart"] == ["always"]


def test_nothing_forwards_before_policy_and_firewall() -> None:
    unit = read_unit(UNITS / "wardgate.service")["Unit"]
    required, after = unit["Requires"][0].split(), unit["After"][0].split()
    for needed in ("wardgate-firewall.service", "wardgate-ports.service"):
        assert needed in required
        assert needed in after
    assert unit["RequiresMountsFor"] == ["/state /vault"]
    firewall = read_unit(UNITS / "wardgate-firewall.service")["Unit"]
    assert "network-pre.target" in firewall["Before"][0].split()
    networkd = read_unit(UNITS / "systemd-networkd.service.d/wardgate.conf")["Unit"]
    assert networkd["Requires"] == networkd["After"] == ["wardgate-firewall.service"]
    socket = read_unit(UNITS / "systemd-networkd.socket.d/wardgate.conf")["Unit"]
    assert socket["RequiresMountsFor"] == networkd["RequiresMountsFor"] == ["/state"], (
        "a socket whose service cannot start asks for it again and again"
    )


def test_nothing_of_ours_reads_a_file_before_it_was_migrated() -> None:
    for reader, first in (("wardgate-state", "wardgate-migrate"), ("wardgate", "wardgate-migrate-vault")):
        unit = read_unit(UNITS / f"{reader}.service")["Unit"]
        assert f"{first}.service" in unit["Requires"][0].split() and f"{first}.service" in unit["After"][0].split()
    # Whatever stands on what the state says requires it, so that a migration that failed keeps all of it from starting.
    for name in ("wardgate", "wardkeys", "wardgate-ports", "wardgate-vault", "wardgate-migrate-vault"):
        unit = read_unit(UNITS / f"{name}.service")["Unit"]
        assert "wardgate-state.service" in unit["Requires"][0].split() and "wardgate-state.service" in unit["After"][0].split()
    judge = read_unit(UNITS / "wardgate-update.service")["Unit"]
    assert {"wardgate-migrate.service", "wardgate-migrate-vault.service"} <= set(judge["After"][0].split())
    assert "Requires" not in judge, "a slot whose migration failed is judged"


def test_a_migration_starts_where_there_is_something_to_migrate_and_else_costs_no_interpreter() -> None:
    for area, name in ((Area.STATE, "wardgate-migrate"), (Area.VAULT, "wardgate-migrate-vault")):
        unit = read_unit(UNITS / f"{name}.service")["Unit"]
        assert unit["ConditionPathExists"] == ["|/usr/share/wardgate/migrates"]
        assert unit["ConditionDirectoryNotEmpty"] == [f"|{ROOTS[area]}/{OWN}"]


def test_systemd_starts_rauc_for_the_judge_and_not_the_bus_that_soon_gives_up() -> None:
    unit = read_unit(UNITS / "wardgate-update.service")["Unit"]
    assert "rauc.service" in unit["Wants"][0].split() and "rauc.service" in unit["After"][0].split()
    assert "wardgate.service" in read_unit(UNITS / "rauc.service.d/wardgate.conf")["Unit"]["After"][0].split()


def test_the_key_service_sees_who_asks() -> None:
    """In a user namespace SO_PEERCRED shows every other account as nobody."""
    assert "PrivateUsers" not in read_unit(UNITS / "wardkeys.service")["Service"]


def test_only_the_custody_account_writes_the_log_and_it_sees_who_gives_records() -> None:
    writer = read_unit(UNITS / "wardgate-custody.service")
    assert "PrivateUsers" not in writer["Service"] and writer["Service"]["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert "wardgate.service" in writer["Unit"]["Before"][0].split()
    assert writer["Service"]["CPUSchedulingPolicy"] == ["rr"], "it may not choose for itself here: @resources"
    assert writer["Service"]["CPUSchedulingPriority"] == ["1"] and writer["Service"]["CPUSchedulingResetOnFork"] == ["yes"]
    assert members_of("custody") == ["wardgate"]
    assert writer["Service"]["StateDirectory"] == ["vault/custody"], "not below a directory of the gateway"


def test_what_the_gateway_waits_for_at_every_start_loads_little() -> None:
    """The handover of the log: mostly nothing is left to do. In emulation each module costs."""
    (line,) = read_unit(UNITS / "wardgate-custody-handover.service")["Service"]["ExecStart"]
    name = line.split()[-1]
    code = f"import sys; before = set(sys.modules); import {name}; print(*sorted(set(sys.modules) - before))"
    environment = {"PYTHONPATH": str(TREE / "firmware")}
    said = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert set(said.stdout.split()) <= {"__future__", "pwd", "stat", "wardgate", "wardgate.custody", "wardgate.mentions", name}


def members_of(account: str) -> list[str]:
    """Who is in its group, by the accounts or by a unit, besides its own units."""
    declared = (OVERLAY / "usr/lib/sysusers.d/wardgate.conf").read_text().splitlines()
    found = [line.split()[1] for line in declared if line.startswith("m ") and line.split()[2] == account]
    for path in services():
        service = read_unit(path)["Service"]
        assert (service["User"] == [account]) == path.stem.startswith(f"wardgate-{account}")
        found += [path.stem for line in service.get("SupplementaryGroups", []) if account in line.split()]
    return found


def test_only_the_audit_account_has_the_spool_and_it_sees_who_gives_events() -> None:
    sender = read_unit(UNITS / "wardgate-audit.service")["Service"]
    assert "PrivateUsers" not in sender and sender["StateDirectoryMode"] == ["0700"] and sender["UMask"] == ["0077"]
    assert sender["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"] and "PrivateNetwork" not in sender
    assert members_of("audit") == ["wardgate"]
    assert sender["StateDirectory"] == ["vault/audit"], "not below a directory of the gateway"
    handover = read_unit(UNITS / "wardgate-audit-handover.service")
    assert {path[1:] for path in handover["Unit"]["ConditionPathExists"]} == {"/vault/wardgate/audit", "/vault/audit/handing-over"}


@pytest.mark.parametrize("name", ["wardgate-custody", "wardgate-audit"])
def test_what_the_gateway_had_is_handed_over_first_by_a_unit_from_which_it_can_be_moved(name: str) -> None:
    """A place that a unit may write (StateDirectory=, ReadWritePaths=) is a mount of its own there: rename(2) says EXDEV."""
    unit, handover = read_unit(UNITS / f"{name}.service")["Unit"], read_unit(UNITS / f"{name}-handover.service")["Service"]
    assert f"{name}-handover.service" in unit["Requires"][0].split() and f"{name}-handover.service" in unit["After"][0].split()
    assert handover["ExecStart"][0].startswith("+") and not {"StateDirectory", "ReadWritePaths", "RemainAfterExit"} & set(handover)


def test_writer_and_sender_end_after_the_gateway_whose_last_word_they_take() -> None:
    """Units end in the other order than they start; associations that run to their end have records and events."""
    gateway = read_unit(UNITS / "wardgate.service")
    for name in ("wardgate-custody.service", "wardgate-audit.service"):
        assert name in gateway["Unit"]["Wants"][0].split() and name in gateway["Unit"]["After"][0].split()
        assert "network.target" not in read_unit(UNITS / name)["Unit"]["After"][0].split(), "the gateway waits for that by itself"


def test_what_the_gateway_waits_for_goes_before_what_it_does_not() -> None:
    weights = {
        path.stem: service["StartupCPUWeight"] for path in services() if "StartupCPUWeight" in (service := read_unit(path)["Service"])
    }
    weights["systemd-networkd"] = read_unit(UNITS / "systemd-networkd.service.d/wardgate.conf")["Service"]["StartupCPUWeight"]
    gateway = read_unit(UNITS / "wardgate.service")["Unit"]
    waited = {name.removesuffix(".service") for name in gateway["After"][0].split() if name.endswith(".service")}
    assert waited - set(weights) == {"wardgate-audit"}, "which is only begun before it"
    assert set(map(tuple, weights.values())) == {("1000",)}


def test_the_names_that_policies_know_are_links_and_no_mounts() -> None:
    """Each mount costs at every start, and once more for every service that is shut in."""
    assert {path.name for path in UNITS.glob("*.mount")} == {"state.mount", "vault.mount", "efi.mount", "var.mount", "run-wardstick.mount"}
    lines = (OVERLAY / "usr/lib/tmpfiles.d/wardgate.conf").read_text().splitlines()
    links = {line.split()[1]: line.split()[-1] for line in lines if line.startswith("L+ /var/lib/")}
    assert links.pop("/var/lib/vault") == "/vault"
    assert links.pop("/var/lib/wardnetd") == "/state/wardnetd"
    assert links == {f"/var/lib/{name}": f"/vault/{name}" for name in ("wardgate", "custody", "audit", "wardkeys", "wardadmin")}
    # systemd follows no link as the last part of a StateDirectory=.
    kept = {read_unit(path)["Service"]["StateDirectory"][0] for path in services() if "StateDirectory" in read_unit(path)["Service"]}
    assert kept == {f"vault/{name.removeprefix('/var/lib/')}" for name in links}


def test_every_enabled_unit_of_ours_is_there_and_can_be_enabled() -> None:
    preset = (OVERLAY / "usr/lib/systemd/system-preset/00-wardgate.preset").read_text().splitlines()
    enabled = {line.split()[1] for line in preset if line.startswith("enable ")}
    there = {path.name for path in UNITS.glob("*.*") if path.is_file() and "@" not in path.name}  # udev starts instances
    pulled = {"wardgate-vault.service", "wardgate-vault-retry.service"}  # by vault.mount, by its timer
    pulled |= {"wardgate-hawkbit.service", "wardgate-restart.service"}  # by wardgate-hawkbit-begin, by RAUC's handler
    pulled.add("run-wardstick.mount")  # by wardgate-stick@
    pulled |= {"wardgate-migrate.service", "wardgate-migrate-vault.service"}  # by wardgate-state and wardgate
    pulled |= {"wardgate-custody-prune.service", "wardgate-custody-witness.service"}  # by their timers
    pulled |= {"wardgate-audit-handover.service", "wardgate-custody-handover.service"}  # by wardgate-audit, wardgate-custody
    pulled.add("wardgate-supervisor.service")  # by udev, when the device comes
    ours = there - pulled
    assert ours <= enabled
    assert not any("Install" in read_unit(UNITS / name) for name in pulled)
    assert enabled - ours == {"pcscd.socket", "systemd-networkd.service"}
    for name in ours:
        assert read_unit(UNITS / name)["Install"]["WantedBy"]
    assert preset[-1] == "disable *"


def test_both_builders_make_the_same_accounts() -> None:
    text = (TREE / "image/buildroot/package/wardgate/wardgate.mk").read_text()
    table = re.search(r"^define WARDGATE_USERS\n(.*?)^endef", text, re.M | re.S)
    assert table
    rows = [line.split() for line in table[1].splitlines()]
    assert {row[0] for row in rows} == _users()
    # State and vault own by number and are kept when the root is another: no builder gives numbers of its own.
    declared = [line.split() for line in (OVERLAY / "usr/lib/sysusers.d/wardgate.conf").read_text().splitlines() if line.startswith("u ")]
    numbers = {name: number for _, name, number, *_ in declared}
    assert {row[0]: row[1] for row in rows} == numbers
    assert all(row[:2] == row[2:4] for row in rows)
    assert {row[0]: row[7] for row in rows if row[7] != "-"} == {"wardgate": "custody,audit"}, (
        "as the lines of sysusers.d that begin with m"
    )
    assert len(set(numbers.values())) == len(numbers)
    assert all(number.isdecimal() and 500 <= int(number) < 970 for number in numbers.values())


def test_every_mount_point_is_made_or_in_memory() -> None:
    made = {line for line in (COMMON / "directories").read_text().splitlines() if line.startswith("/") and " " not in line}
    for path in UNITS.glob("*.mount"):
        where = read_unit(path)["Mount"]["Where"][0]
        assert where in made or where == "/var" or where.startswith("/run/")


def test_systemd_finds_no_mistake_in_our_units(tmp_path: Path) -> None:
    need_systemd_analyze()
    root = unit_root(tmp_path)
    names = sorted(path.name for path in UNITS.glob("*.*") if path.is_file())
    told = analyze("verify", "--man=no", "--root", root, *names).stdout
    # Of this machine's own units nothing is claimed here.
    ours = [line for line in told.splitlines() if any(name in line for name in names) or "pcscd.socket.d" in line]
    assert ours == []


def test_systemd_would_find_a_mistake(tmp_path: Path) -> None:
    need_systemd_analyze()
    root = unit_root(tmp_path)
    unit = root / "usr/lib/systemd/system/wardkeys.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=very"))
    assert "wardkeys.service" in analyze("verify", "--man=no", "--root", root, "wardkeys.service").stdout


@pytest.mark.parametrize("path", services(), ids=lambda path: path.stem)
def test_the_exposure_of_a_service_is_under_two(path: Path) -> None:
    need_systemd_analyze()
    told = analyze("security", "--offline=true", "--no-pager", path).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found, told
    assert float(found[1]) < EXPOSURE


def test_the_partitions_make_a_genimage_configuration_with_an_empty_second_slot() -> None:
    done = subprocess.run(
        [sys.executable, COMMON / "layout.py", "boot=b.vfat", "root=r.img", "--loader", "32K=idbloader.img"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    parts = re.findall(r"partition (\w+) \{(.*?)\}", done.stdout, re.S)
    assert [name for name, _ in parts] == ["loader0", "esp", "boot_a", "root_a", "boot_b", "root_b", "state", "vault"]
    assert [name for name, words in parts if "image" in words] == ["loader0", "boot_a", "root_a"]


def test_a_board_may_have_larger_boot_partitions() -> None:
    """An arm64 kernel is not packed: two programs do not fit into what is enough on x86."""
    words = [sys.executable, COMMON / "layout.py", "boot=b.vfat", f"--board={TREE / 'board/qemu_aarch64/board.toml'}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    parts = dict(re.findall(r"partition (\w+) \{(.*?)\}", done.stdout, re.S))
    assert "size = 112M" in parts["boot_a"] and "size = 112M" in parts["boot_b"] and "size = 256M" in parts["root_a"]
    assert "offset = 416M" in parts["boot_b"], "what lies behind moves"


def test_a_board_with_uboot_has_a_partition_for_what_it_counts_and_no_esp() -> None:
    words = [sys.executable, COMMON / "layout.py", "env=env.img", "boot=b.vfat", f"--board={TREE / 'board/nanopi_r2s/board.toml'}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    parts = dict(re.findall(r"partition (\w+) \{(.*?)\}", done.stdout, re.S))
    assert list(parts) == ["env", "boot_a", "root_a", "boot_b", "root_b", "state", "vault"]
    assert "env.img" in parts["env"] and "offset = 16M" in parts["env"] and "size = 8M" in parts["env"]


@pytest.mark.parametrize(("board", "esp"), [("qemu_x86_64", True), ("nanopi_r2s", False)])
def test_what_rauc_asks_about_the_slots_is_the_boards_own(folder: Path, board: str, esp: bool) -> None:
    root = rauc_root(folder / "root", board)
    system = (root / "etc/rauc/system.conf").read_text()
    compatible = tomllib.loads((TREE / "board" / board / "board.toml").read_text())["compatible"]
    assert f"\ncompatible={compatible}\n" in system and "@" not in system.split("[slot")[0].partition("[system]")[2]
    assert ("bootloader=custom" in system) == esp == ("bootloader-custom-backend" in system)
    assert (root / "usr/lib/systemd/system/efi.mount").exists() == esp
    memory = root / "etc/fw_env.config"
    assert memory.exists() != esp
    if not esp:
        assert "bootloader=uboot" in system
        assert memory.read_text() == "/dev/disk/by-partlabel/env 0x0 0x4000\n/dev/disk/by-partlabel/env 0x400000 0x4000\n"


def test_what_is_not_asked_at_a_start_is_nothing_that_the_box_needs() -> None:
    """udev is shown disks, ports, TPM, keys and the buses whose drivers are modules; systemd's units of a TPM are made."""
    asked = read_unit(UNITS / "systemd-udev-trigger.service.d/wardgate.conf")["Service"]["ExecStart"][-1].split()
    left_out = {word.partition("=")[2] for word in asked if word.startswith("--subsystem-nomatch=")}
    assert not left_out & {"block", "net", "tpm", "tpmrm", "input", "usb", "hid", "pci", "virtio", "acpi", "pnp", "scsi", "mmc", "serio"}
    masked = (COMMON / "masked").read_text().split()
    assert "systemd-tpm2-generator" not in masked and "50-udev-default.rules" not in masked and "99-systemd.rules" not in masked
    for name in ("systemd-udevd.service", "systemd-sysctl.service", "systemd-tmpfiles-setup.service", "systemd-journald.service"):
        assert name not in masked
    # Names of network ports (their properties, then the name), and of the button of break-glass.
    for name in ("75-net-description.rules", "80-net-setup-link.rules", "60-input-id.rules", "60-persistent-input.rules"):
        assert name not in masked


def test_the_gateway_does_not_wait_for_what_the_judge_alone_asks_for() -> None:
    """The loader's memory: its file system's drivers are loaded and measured, by the processors that the gateway starts on."""
    assert "wardgate.service" in read_unit(UNITS / "efi.mount")["Unit"]["After"][0].split()
    assert "run-lock.mount" in (COMMON / "masked").read_text().split()


def test_the_supervisors_line_is_named_for_its_link_and_starts_it() -> None:
    """The link opens by that name; a line that the kernel found before udev ran is shown to udev too."""
    rule = (OVERLAY / "usr/lib/udev/rules.d/90-wardgate-supervisor.rules").read_text().splitlines()[-1]
    service = read_unit(UNITS / "wardgate-supervisor.service")["Service"]
    assert 'SYMLINK+="ward-supervisor"' in rule and f'GROUP="{service["Group"][0]}"' in rule and 'MODE="0660"' in rule
    assert 'ENV{SYSTEMD_WANTS}+="wardgate-supervisor.service"' in rule and 'TAG+="systemd"' in rule
    assert '"/dev/ward-supervisor"' in (TREE / "firmware/wardgate/supervisor/link.py").read_text()
    assert service["ReadWritePaths"] == ["-/state/kept"] and service["RuntimeDirectoryMode"] == ["0755"]
    assert f"/run/{service['RuntimeDirectory'][0]}/state.json" == PATH  # where `wardgate status` looks
    assert service["DevicePolicy"] == ["closed"] and service["DeviceAllow"] == ["char-ttyACM rw"]
    asked = read_unit(UNITS / "systemd-udev-trigger.service.d/wardgate.conf")["Service"]["ExecStart"]
    assert any(line.endswith("--subsystem-match=tty --sysname-match=ttyACM*") for line in asked)
    for board in ("nanopi_r2s", "pc_x86_64_efi"):
        assert "CONFIG_USB_ACM=y" in (TREE / "board" / board / "kernel.fragment").read_text().splitlines()


def test_a_stick_with_the_names_of_our_partitions_does_not_take_their_place() -> None:
    text = (OVERLAY / "usr/lib/udev/rules.d/60-wardgate-storage.rules").read_text()
    links = [line for line in text.splitlines() if "SYMLINK" in line]
    assert len(links) == 1 and 'ENV{ID_BUS}!="usb"' in links[0] and "by-partlabel" in links[0]
    assert "rules 60-persistent-storage.rules" in (COMMON / "masked").read_text().splitlines(), "it would make the link for any disk"
