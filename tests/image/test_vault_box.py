"""The vault in the Debian image: LUKS2 by a TPM, made by the box at its first start; closed to another TPM and another boot chain.

A box whose vault is closed is in a named state, serves nothing, and keeps what happens for the custody log; the recovery key brings it
back without a restart.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, datasets, imagekit, qemubox, softtpm
from support.boxsite import Site
from support.qemubox import QemuBox, place_of
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(2400)]

# As who has the firmware's tables does it; a stub before systemd 254 does not ask, and that of the product is patched (test_trust).
TOLD = ("-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=wardgate.extra=1")
# Not before it was tried.
CLOSED = "wardgate state show | grep WG945 | grep -qv 'not opened yet'"
PARTITION = "/dev/disk/by-partlabel/vault"
OLDER = Path(__file__).parent / "bundles/older.raucb"
UPDATE = f"wardgate update /run/stick/{OLDER.name} -c /etc/wardgate/wardgate.toml"
LOOKS = {
    "mount": "findmnt -rno SOURCE,FSTYPE /vault",
    "bytes": f"blockdev --getsize64 {PARTITION}",
    "slots": f"cryptsetup luksDump {PARTITION}",
    "standing": "wardgate state show",
    "failed": "systemctl --failed --plain --no-legend",
    "sockets": "ss -H -lntu",
    "gateway": "systemctl is-active wardgate",
    "rules": "nft list table inet box",
    "kept": "cat /state/kept/*.json",
    "pcr7": "cat /sys/class/tpm/tpm0/pcr-sha256/7",
    "line": "cat /proc/cmdline",
    "pcr12": "cat /sys/class/tpm/tpm0/pcr-sha256/12",
    "log": "journalctl -b --no-pager -o cat -u wardgate-vault",
}


@dataclass
class Start:
    """One start of the box: what it said to each look, on its console, to a modality; records of the box in its log."""

    said: dict[str, str] = field(default_factory=dict)
    console: str = ""
    sent: int = -1
    size: int = 0
    records: list[dict[str, str]] = field(default_factory=list)


def looks(box: QemuBox) -> dict[str, str]:
    return {name: box.run(command)[1].strip() for name, command in LOOKS.items()}


def serves(box: QemuBox, start: Start, site: Site, study: int, before: int = 0) -> None:
    """Wait until the box serves; send an instance, see how long the log is, once it is longer than `before`, and what was kept for it."""
    box.until("ss -H -ltn | grep -q ':104 '")
    start.sent = store(site, study)
    start.size = boxlog.signed(box, before)
    told = (json.loads(line) for line in boxlog.pieces(box, r'\{"v":1,"type":"box"[^}]*\}'))
    start.records = sorted(told, key=lambda record: record["happened"])


def store(site: Site, study: int) -> int:
    return site.store(*datasets.generate(site.folder / f"study{study}", 1, rows=64, study=study)).returncode


def recovery_key(start: Start) -> str:
    (key,) = re.findall(r"^\s+([cbdefghijklnrtuv]{8}(?:-[cbdefghijklnrtuv]{8}){7})\s*$", start.console, re.M)
    return str(key)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> dict[str, Start]:
    """First start; with another TPM, then opened by hand; with that TPM enrolled; without Secure Boot; told more than what is signed."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("vb")
    site = Site(folder, pki, clear=False)
    disk = site.disk(imagekit.build("1.0.0"))
    subprocess.run(["qemu-img", "resize", "-q", str(disk), "+64M"], check=True, timeout=60)
    stick = imagekit.stick(folder / "stick.img", [OLDER])
    made = {name: Start() for name in ("first", "closed", "opened", "again", "insecure", "told")}

    def box(name: str, chip: Path, more: tuple[str, ...] = (), *, secure_boot: bool = True) -> QemuBox:
        (folder / name).mkdir()
        devices = (*more, "-drive", f"file={stick},format=raw,if=virtio,readonly=on", *softtpm.devices(chip))
        return site.box(folder / name, disk, devices, secure_boot=secure_boot)

    site.open_pacs()
    try:
        with softtpm.tpm(folder / "chip") as chip, qemubox.powered(box("first", chip)) as it:
            it.wait_shell()
            serves(it, made["first"], site, 1)
            made["first"].said, made["first"].console = looks(it), it.console
            it.send("systemctl poweroff --no-block")
            it.wait_off()
        key = recovery_key(made["first"])
        with softtpm.tpm(folder / "other") as chip, qemubox.powered(box("closed", chip)) as it:
            it.wait_shell()
            it.until(CLOSED)
            it.until("systemctl is-active -q wardgate-ports && systemctl is-active -q wardgate-update")
            it.run(f"mkdir /run/stick && mount -o ro /dev/vdb /run/stick && {UPDATE}", 300)
            made["closed"].sent = store(site, 2)
            made["closed"].said, made["closed"].console = looks(it), it.console
            it.ask(f"printf %s {key} >/run/key && systemd-cryptsetup attach vault {PARTITION} /run/key")
            serves(it, made["opened"], site, 3, made["first"].size)
            made["opened"].said = looks(it)
            for way in ("--wipe-slot=tpm2", "--tpm2-device=auto --tpm2-pcrs=7+12"):  # docs/vault.md: two commands
                it.ask(f"systemd-cryptenroll --unlock-key-file=/run/key {way} {PARTITION}")
            it.send("systemctl poweroff --no-block")
            it.wait_off()
        with softtpm.tpm(folder / "other") as chip, qemubox.powered(box("again", chip)) as it:
            it.wait_shell()
            serves(it, made["again"], site, 4, made["opened"].size)
            made["again"].said, made["again"].console = looks(it), it.console
            it.send("systemctl poweroff --no-block")
            it.wait_off()
        with softtpm.tpm(folder / "other") as chip, qemubox.powered(box("insecure", chip, secure_boot=False)) as it:
            it.wait_shell()
            it.until(CLOSED)
            made["insecure"].said = looks(it)
        with softtpm.tpm(folder / "other") as chip, qemubox.powered(box("told", chip, TOLD)) as it:
            it.wait_shell()
            it.until(f"findmnt /vault || {CLOSED}")
            made["told"].said = looks(it)
    finally:
        site.close_pacs()
    return made


def test_the_first_start_makes_the_vault_and_serves_from_it(starts: dict[str, Start]) -> None:
    first = starts["first"]
    assert first.said["mount"] == "/dev/mapper/vault ext4", first.said["log"]
    assert first.said["failed"] == "" and first.said["standing"] == ""
    assert first.sent == 0
    assert [record["event"] for record in first.records] == ["state-changed", "vault-made"]


def test_the_vault_reaches_to_the_end_of_a_larger_disk(starts: dict[str, Start]) -> None:
    _, size = place_of("vault")
    for name in ("first", "again"):
        assert size + (63 << 20) < int(starts[name].said["bytes"]) <= size + (65 << 20)


def test_nothing_but_tpm_and_recovery_key_opens_it(starts: dict[str, Start]) -> None:
    said = starts["first"].said["slots"]
    assert sorted(re.findall(r"^  \d+: (systemd-\w+)$", said, re.M)) == ["systemd-recovery", "systemd-tpm2"]
    assert len(re.findall(r"^  \d+: luks2$", said, re.M)) == 2


def test_the_recovery_key_is_shown_once(starts: dict[str, Start]) -> None:
    key = recovery_key(starts["first"])
    assert key not in starts["first"].said["log"]
    assert key not in starts["closed"].console + starts["again"].console


def test_a_closed_vault_is_a_named_state_and_nothing_is_served(starts: dict[str, Start]) -> None:
    closed = starts["closed"]
    assert closed.said["standing"].startswith("vault-closed: WG945"), closed.said["log"]
    assert closed.said["mount"] == "" and closed.said["gateway"] != "active"
    assert closed.said["sockets"] == "" and closed.sent != 0
    assert closed.said["rules"].count("policy drop") == 2, "the firewall is up"


def test_what_happens_while_it_is_closed_is_kept_and_recorded_when_it_opens(starts: dict[str, Start]) -> None:
    waiting = starts["closed"].said["kept"]
    assert '"vault-closed"' in waiting and '"update-refused"' in waiting
    events = {record["event"]: record for record in starts["opened"].records}
    assert events.keys() == {"state-changed", "vault-made", "vault-closed", "update-refused"}
    assert events["update-refused"]["code"] == "WG901"
    assert all(record["happened"] < record["time"] for record in events.values())
    assert starts["opened"].said["kept"] == "" or "No such file" in starts["opened"].said["kept"]


def test_the_recovery_key_brings_it_into_service_without_a_restart(starts: dict[str, Start]) -> None:
    opened = starts["opened"]
    assert opened.said["mount"] == "/dev/mapper/vault ext4" and opened.said["standing"] == ""
    assert opened.sent == 0 and opened.size > starts["first"].size, "the same log goes on"


def test_a_tpm_that_was_enrolled_again_opens_it_at_the_next_start(starts: dict[str, Start]) -> None:
    again = starts["again"]
    assert again.said["mount"] == "/dev/mapper/vault ext4" and again.said["failed"] == ""
    assert again.sent == 0 and again.size > starts["opened"].size


def test_another_boot_chain_leaves_it_closed(starts: dict[str, Start]) -> None:
    """PCR 7 tells whether the firmware checked what it started, and by which keys."""
    insecure = starts["insecure"].said
    assert insecure["pcr7"] != starts["again"].said["pcr7"] and set(insecure["pcr7"]) != {"0"}
    assert insecure["standing"].startswith("vault-closed: WG945") and insecure["sockets"] == ""


def test_what_was_added_to_the_signed_program_leaves_it_closed(starts: dict[str, Start]) -> None:
    """What the firmware tells systemd's stub besides is in PCR 12, which is empty otherwise."""
    assert {name: set(starts[name].said["pcr12"]) for name in ("first", "again")} == {"first": {"0"}, "again": {"0"}}
    told = starts["told"].said
    if "wardgate.extra=1" not in told["line"]:
        pytest.skip("systemd's stub took no words of the firmware: it is before 254, or has our patch")
    assert told["pcr7"] == starts["again"].said["pcr7"] and set(told["pcr12"]) != {"0"}
    assert told["standing"].startswith("vault-closed: WG945") and told["sockets"] == ""
