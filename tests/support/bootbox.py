"""Boots the Debian image in QEMU without hardware virtualisation and reads what the box says on its serial console.

Into a copy of the root goes what a release never has: a reporter on the console and a vault without encryption. The policy, a key for
the log and the addresses lie on the state partition of a second disk, as on a real box.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import TREE

TOOLS = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools", "genimage": "genimage", "qemu-system-x86_64": "qemu-system-x86"}
BOOT_SECONDS = 600.0
OUT = TREE / "build" / "image" / "debian"

REPORTER = """\
#!/bin/sh
# Tells on the console what a test asks, then powers the box off.
say() { sed "s/^/SMOKE $1 /"; }
i=0
until ss -H -ltn | grep -q ':104 ' || [ $i -ge 90 ]; do sleep 2; i=$((i + 1)); done
cut -d' ' -f1 /proc/uptime | say uptime
for unit in wardgate wardkeys wardgate-firewall wardgate-ports; do systemctl is-active $unit.service | say "unit $unit"; done
systemctl --failed --plain --no-legend | say failed
ss -H -lntu | say socket
nft list table inet box | say rule
ps -eo user:16,args | grep -E 'python3 .*-m war[d]' | say process
findmnt -rno TARGET,FSTYPE,OPTIONS / | say root
touch /usr/written /etc/written 2>&1 | say write
ps -eo tty,args | awk '$1 != "?"' | grep -vE 'TT |report|sed|ps -eo|awk|grep' | say shell
awk '/MemTotal|MemAvailable/ { print $1, $2 }' /proc/meminfo | say memory
journalctl -b --no-pager -o cat -u wardgate -u wardgate-ports -u wardgate-firewall -u wardkeys -u etc-wardgate.mount | tail -n 40 | say log
echo SMOKE end
systemctl poweroff --force
"""
REPORTER_UNIT = """\
[Unit]
Description=Reporter of the boot test
After=basic.target
[Service]
Type=exec
ExecStart=/usr/lib/wardgate-smoke/report
StandardOutput=tty
TTYPath=/dev/ttyS0
"""
# In the test the vault is not encrypted: neither TPM nor token is there.
VAULT = """\
[Unit]
Description=Wardgate vault (test)
[Mount]
What=/dev/disk/by-partlabel/vault
Where=/vault
Type=ext4
Options=nosuid,nodev,noexec
[Install]
WantedBy=multi-user.target
"""
POLICY = """\
[box]
name = "ward-test"
workers = 1
[custody]
log = "/var/lib/wardgate/custody"
origin = "ward-test.example.org/custody"
key = "/etc/wardgate/log.pem"
[[link]]
name = "ct1"
sop_classes = ["*"]
directions = ["to-hospital"]
[link.modality]
ae_titles = ["CT1"]
addresses = ["192.0.2.10"]
listen = ["192.0.2.1:104"]
transport = "plain"
[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["198.51.100.5"]
connect = "198.51.100.5:104"
transport = "plain"
unsafe_allow_clear_hospital = true
"""
TOKENS = """\
socket = "/run/wardkeys/keys.sock"
allow_users = ["wardgate"]
state_dir = "/var/lib/wardkeys"
[[token]]
name = "card"
module = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
label = "ward-test"
"""
PORTS = {"modality": ("52:54:00:00:00:01", "192.0.2.1/24"), "hospital": ("52:54:00:00:00:02", "198.51.100.2/24")}


def need_tools() -> None:
    """Skip unless asked for, and without root or the tools."""
    if os.environ.get("WARDGATE_IMAGE_TEST") != "1":
        pytest.skip("slow: builds and boots a Debian image in emulation, minutes on two cores; make image-test")
    if os.geteuid() != 0:
        pytest.skip("building a root needs root")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install {package})")


def build(folder: Path) -> None:
    """Build root, kernel and initramfs into `OUT`. The packages are kept there."""
    extra = folder / "extra"
    for path, text, mode in (
        ("usr/lib/wardgate-smoke/report", REPORTER, 0o755),
        ("etc/systemd/system/wardgate-smoke.service", REPORTER_UNIT, 0o644),
        ("etc/systemd/system/vault.mount", VAULT, 0o644),
    ):
        place = extra / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
    wants = extra / "etc/systemd/system/basic.target.wants"
    wants.mkdir()
    (wants / "wardgate-smoke.service").symlink_to("../wardgate-smoke.service")
    _run(TREE / "image/debian/build.sh", OUT, seconds=1200, WARDGATE_ROOT_EXTRA=str(extra))


def make_disk(folder: Path) -> Path:
    """Make the second disk: GPT with `state` and `vault`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    owner = next(line.split(":") for line in (OUT / "root/etc/passwd").read_text().splitlines() if line.startswith("wardgate:"))
    state = folder / "state"
    for name in ("wardgate", "wardkeys", "network"):
        (state / name).mkdir(parents=True)
    (state / "wardgate/wardgate.toml").write_text(POLICY)
    (state / "wardkeys/keys.toml").write_text(TOKENS)
    key = state / "wardgate/log.pem"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    os.chown(key, int(owner[2]), int(owner[3]))
    for name, (mac, address) in PORTS.items():
        text = f"[Match]\nMACAddress={mac}\n[Network]\nAddress={address}\n"
        text += "IPv6AcceptRA=no\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n"
        (state / f"network/10-{name}.network").write_text(text)
    (folder / "empty").mkdir()
    for name, tree in (("state", state), ("vault", folder / "empty")):
        _run("mke2fs", "-q", "-t", "ext4", "-d", tree, folder / f"{name}.ext4", "32M")
    parts = "".join(f'\tpartition {name} {{\n\t\timage = "{name}.ext4"\n\t}}\n' for name in ("state", "vault"))
    (folder / "genimage.cfg").write_text('image data.img {\n\thdimage {\n\t\tpartition-table-type = "gpt"\n\t}\n' + parts + "}\n")
    words: list[str | Path] = ["genimage", "--rootpath", folder / "empty", "--tmppath", folder / "tmp", "--inputpath", folder]
    _run(*words, "--outputpath", folder, "--config", folder / "genimage.cfg")
    return folder / "data.img"


def boot(folder: Path, disk: Path) -> list[str]:
    """Boot until the box powers itself off; return what it said on the console. Raises `AssertionError` with its last words."""
    console = folder / "console.log"
    argv = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-smp", "2", "-accel", "tcg,thread=multi", "-m", "512"]
    argv += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{console}"]
    argv += ["-kernel", str(OUT / "vmlinuz"), "-initrd", str(OUT / "initrd.img")]
    argv += ["-append", "root=/dev/vda rootfstype=squashfs ro boot=local console=ttyS0 panic=10 systemd.show_status=false loglevel=4"]
    argv += ["-drive", f"file={OUT / 'root.squashfs'},format=raw,if=virtio,readonly=on", "-drive", f"file={disk},format=raw,if=virtio"]
    for number, (mac, _) in enumerate(PORTS.values()):
        argv += ["-netdev", f"user,id=n{number},restrict=on", "-device", f"virtio-net-pci,netdev=n{number},mac={mac},romfile="]
    box = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        box.wait(BOOT_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if box.poll() is None:
            box.kill()
            box.wait()
    lines = [line.strip() for line in console.read_text(errors="replace").splitlines()] if console.exists() else []
    assert "SMOKE end" in lines, "\n".join(lines[-60:])
    return lines


def said(lines: list[str], what: str) -> list[str]:
    """Return what the reporter said about `what`."""
    return [line.removeprefix(f"SMOKE {what} ") for line in lines if line.startswith(f"SMOKE {what} ")]


def _run(*words: str | Path, seconds: float = 120.0, **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
