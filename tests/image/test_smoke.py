"""Smoke: the Debian image boots by Secure Boot to service, is what it says, and an instance goes through it. One boot, many looks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxwords, datasets, imagekit, qemubox
from support.auditkit import told
from support.boxsite import Site
from support.datasets import Sample
from support.processes import free_port
from support.rsyslog import Rsyslog
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

# By Python: the two images have different od and setpriv.
SECURE_BOOT = 'python3 -c \'import glob; print(open(glob.glob("/sys/firmware/efi/efivars/SecureBoot-*")[0], "rb").read()[4])\''
# As the gateway's account: reads the log, may neither write, nor remove, nor have its key.
WRITE = "cd /var/lib/custody/log && grep -q . vkey && echo READ; (: >x) 2>&1; (: >>checkpoint) 2>&1; cat /state/secret/log.pem 2>&1; true"
# As the gateway's account: neither the spool, nor the key under which messages go out.
SPOOL = "ls /var/lib/audit 2>&1; cat /vault/audit/spool/marks.json 2>&1; cat /state/secret/audit.key 2>&1; true"
STATUS = "python3 -P -m wardgate status -c /etc/wardgate/wardgate.toml"
LOOKS = {
    "failed": "systemctl --failed --plain --no-legend",
    "units": "systemctl is-active wardgate wardgate-custody wardgate-audit wardkeys wardgate-firewall wardgate-ports wardgate-update"
    " efi.mount | tr '\\n' ' '",
    "sockets": "ss -H -lntu",
    "rules": "nft list table inet box",
    "policy": "cut -d' ' -f41 /proc/$(systemctl show -P MainPID wardgate-custody)/stat",
    "patience": "systemctl show -P WatchdogUSec wardgate-custody",
    "processes": f"{boxwords.PROCESSES} | grep -E 'python3 .*-m war[d]'",
    "mounts": "findmnt -rno TARGET,SOURCE,FSTYPE",
    "root": "findmnt -rno SOURCE,FSTYPE,OPTIONS /",
    "verity": "dmsetup table root 2>/dev/null || cat /sys/block/dm-0/dm/name /sys/block/dm-0/dm/uuid; cat /proc/cmdline",
    "write": "touch /usr/written /etc/written 2>&1; true",
    "terminals": "ps -eo tty,args | awk '$1 != \"?\" && $1 != \"TT\"' | grep -vE 'ttyS1|^4,65 |ps -eo|awk|grep'; true",  # 4,65: busybox
    "secure": SECURE_BOOT + "; cat /sys/kernel/security/lockdown",
    "memory": "awk '/MemTotal|MemAvailable/ { print $2 }' /proc/meminfo",
    "state": "wardgate state show; journalctl -b --no-pager -o cat -u wardgate-state",
    "kernel": "uname -r; cat /proc/modules; journalctl -k -b --no-pager -o cat | grep -E 'Linux version|device-mapper|Run /'",
    "crypto": "grep -h ^driver /proc/crypto | sort -u",
    "broute": "echo 'table bridge t { chain c { type filter hook prerouting priority 0; meta broute set 1; }; }' | nft -c -f - 2>&1",
    "watchdog": "cd /sys/class/watchdog/watchdog0 && cat state timeout",
    "slots": "cat /efi/grubenv",
    "rauc": boxwords.as_account("nobody", "rauc status 2>&1; true"),
    "log": boxwords.as_account("wardgate", f"sh -c '{WRITE}'"),
    "stranger": boxwords.as_account("wardadmin", "sh -c 'cat /var/lib/custody/log/vkey 2>&1 && echo READ; true'"),
    "spool": boxwords.as_account("wardgate", f"sh -c '{SPOOL}'"),
    "kept": boxwords.owners("/var/lib/audit/spool", "/run/wardgate-audit/audit.sock"),
    "status": STATUS,
    "journal": "journalctl -b --no-pager -o cat -u wardgate -u wardgate-update | tail -n 40",
}
# File systems of the kernel's own, and of memory. The rest is on the disk: where it is mounted, and as what is bound elsewhere.
IN_MEMORY = {"proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "securityfs", "efivarfs", "pstore", "bpf", "tmpfs", "ramfs"}


@dataclass
class Seen:
    """What the box said to each look; what went through it."""

    said: dict[str, str] = field(default_factory=dict)
    filesystem: str = ""
    seconds: float = 0.0
    sent: str = ""
    samples: list[Sample] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Seen:
    """Boot once and look at everything."""
    imagekit.need_tools()
    folder: Path = tmp_path_factory.mktemp("smoke")
    image = imagekit.build("1.0.0")
    site = Site(folder, pki, repository=free_port())
    repository = Rsyslog(folder / "arr", pki, site.repository)
    disk = site.disk(image)
    made = Seen(filesystem=image.filesystem)
    site.open_pacs()
    repository.start()
    try:
        began = time.monotonic()
        with qemubox.powered(site.box(folder, disk)) as box:
            box.wait_shell()
            box.ask("systemctl start wardgate", qemubox.BOOT_SECONDS)  # waits for its start; to ask again and again would slow it
            made.seconds = time.monotonic() - began
            box.until(f"{STATUS} | grep -qE 'arr at .*[1-9][0-9]* delivered'", 300)
            made.said["serves"] = box.ask("ss -H -ltn")
            box.until("systemctl is-active -q wardgate-update", 300)
            made.samples = datasets.generate(folder / "study", 2, rows=64)
            made.sent = site.store(*made.samples).stdout
            made.arrived = [path.read_bytes() for path in site.delivered()]
            made.said |= {name: box.run(command)[1].strip() for name, command in LOOKS.items()}
        made.told = repository.lines()
    finally:
        repository.stop()
        site.close_pacs()
    print(f"service after {made.seconds:.1f} s")
    return made


def test_a_gateway_that_has_started_serves(seen: Seen) -> None:
    """What the time to service is measured by."""
    assert "192.0.2.1:104 " in seen.said["serves"]


def test_every_service_of_ours_is_active_and_no_unit_failed(seen: Seen) -> None:
    assert seen.said["failed"] == "", seen.said["journal"]
    assert seen.said["units"].split() == ["active", "active", "active", "inactive", *["active"] * 4], "no keys.toml: no key service"


def test_its_state_is_as_it_was_signed_by_the_key_that_its_image_trusts(seen: Seen) -> None:
    assert "WG936" in seen.said["state"] and "WG935" not in seen.said["state"], seen.said["state"]


def test_an_instance_that_comes_in_clear_arrives_under_tls(seen: Seen) -> None:
    assert len(seen.arrived) == 2, f"{seen.sent}\n{seen.said['journal']}"
    arrived = {datasets.data_set(content) for content in seen.arrived}
    assert arrived == {datasets.data_set(sample.path.read_bytes()) for sample in seen.samples}


def test_exactly_what_is_declared_listens(seen: Seen) -> None:
    assert [line.split()[4] for line in seen.said["sockets"].splitlines()] == ["192.0.2.1:104"]


def test_the_firewall_is_closed_but_for_the_policy(seen: Seen) -> None:
    rules = seen.said["rules"].splitlines()
    assert sum("policy drop" in line for line in rules) == 2
    assert [line.strip() for line in rules if "dport" in line] == ["ip saddr 192.0.2.10 ip daddr 192.0.2.1 tcp dport 104 accept"]


def test_each_process_runs_as_its_own_account(seen: Seen) -> None:
    lines = [line.split(maxsplit=1) for line in seen.said["processes"].splitlines()]
    assert {owner for owner, _ in lines} == {"wardgate", "custody", "audit"}
    assert {owner for owner, command in lines if "wardgate.hold.writer" in command} == {"custody"}
    assert {owner for owner, command in lines if "wardgate.audit" in command} == {"audit"}


def test_the_gateways_account_reads_neither_the_audit_spool_nor_its_key(seen: Seen) -> None:
    assert seen.said["spool"].count("Permission denied") == 3, seen.said["spool"]
    assert seen.said["kept"].split("\n") == ["audit audit 700 /var/lib/audit/spool", "audit audit 660 /run/wardgate-audit/audit.sock"]


def test_the_audit_repository_is_told_of_the_start(seen: Seen) -> None:
    first = told(seen.told[0])
    assert (first.event, first.types, first.host) == ("110100", ["110120"], "ward-test"), seen.told
    assert "audit sender: pid " in seen.said["status"] and "AUDIT" not in seen.said["status"], seen.said["status"]


def test_the_custody_writer_goes_first_as_where_it_is_measured(seen: Seen) -> None:
    assert seen.said["policy"] == "2", "SCHED_RR"


def test_the_custody_writers_watchdog_is_short_once_its_log_is_open(seen: Seen) -> None:
    assert seen.said["patience"] == "1min", "300 seconds before"


def test_the_gateways_account_reads_the_custody_log_and_cannot_write_it(seen: Seen) -> None:
    assert "READ" in seen.said["log"] and seen.said["log"].count("Permission denied") == 3, seen.said["log"]
    assert "Permission denied" in seen.said["stranger"] and "READ" not in seen.said["stranger"]


def test_the_root_is_under_verity_and_cannot_be_written(seen: Seen) -> None:
    assert seen.said["root"].startswith("/dev/") and f" {seen.filesystem} ro" in seen.said["root"]
    assert "verity" in seen.said["verity"].lower() and "panic_on_corruption" in seen.said["verity"]
    assert seen.said["write"].count("Read-only file system") == 2


def test_what_is_not_root_state_vault_or_loader_is_in_memory(seen: Seen) -> None:
    rows = {target: (source.partition("[")[0], kind) for target, source, kind in map(str.split, seen.said["mounts"].splitlines())}
    assert {rows[target][1] for target in ("/tmp", "/var", "/run")} == {"tmpfs"}, seen.said["mounts"]
    kept = {source for source, kind in rows.values() if kind not in IN_MEMORY}
    assert kept == {rows[target][0] for target in ("/", "/efi", "/state", "/vault")} and len(kept) == 4, seen.said["mounts"]


def test_the_firmware_checked_what_it_started_and_the_kernel_is_locked_down(seen: Seen) -> None:
    assert seen.said["secure"].split()[0] == "1", "the variable SecureBoot"
    assert "[confidentiality]" in seen.said["secure"]


def test_the_slot_is_marked_good(seen: Seen) -> None:
    assert "A_OK=1\nA_TRY=0\n" in seen.said["slots"]


def test_systemd_pets_the_boards_watchdog(seen: Seen) -> None:
    """It is opened, so a box that hangs is reset: within the time of system.conf.d."""
    assert seen.said["watchdog"].split() == ["active", "30"]


def test_no_shell_waits_for_anybody(seen: Seen) -> None:
    """No process has a terminal but the test's own."""
    assert seen.said["terminals"] == ""


def test_not_everybody_may_control_rauc(seen: Seen) -> None:
    """RAUC's own bus policy lets anybody install and mark."""
    assert "AccessDenied" in seen.said["rauc"] or "rejected" in seen.said["rauc"].lower(), seen.said["rauc"]


def test_less_than_256_mib_are_in_use(seen: Seen) -> None:
    total, available = (int(word) for word in seen.said["memory"].split())
    assert (total - available) / 1024 < 256


@pytest.fixture
def own(seen: Seen) -> Seen:
    """The same of a kernel of our configuration, that starts as Buildroot's does."""
    if imagekit.own_kernel() is None and seen.filesystem != "erofs":
        pytest.skip("neither IMAGE= with Buildroot's nor KERNEL= is given (a kernel of our configuration: make image-kernel)")
    return seen


def test_our_kernel_opens_the_root_by_itself_without_an_initramfs(own: Seen) -> None:
    assert own.filesystem == "erofs"
    assert "device-mapper: init: " in own.said["kernel"] and "(root) is ready" in own.said["kernel"]
    # The stub of systemd hands over a cpio of its own with what it knows of the program, and no /init in it.
    assert "Run /sbin/init as init process" in own.said["kernel"] and "Run /init" not in own.said["kernel"]


def test_our_kernel_needs_no_module(own: Seen) -> None:
    assert not [line for line in own.said["kernel"].splitlines() if " Live " in line]


def test_our_kernel_sends_frames_up_by_broute(own: Seen) -> None:
    """Debian 12's cannot: `netd` does it another way there (docs/plant.md)."""
    assert own.said["broute"] == ""


def test_our_kernel_uses_the_processors_own_aes_and_sha(own: Seen) -> None:
    """For the vault (AES-XTS) and the root (SHA-256): without them a PC reads its disks at a tenth of the pace."""
    assert {"driver : xts-aes-aesni", "driver : sha256-avx2"} & {" ".join(line.split()) for line in own.said["crypto"].splitlines()}
