"""A machine in emulation with a distribution's kernel, in which tests of the cable run: `run` boots it once and returns the report.

Root and kernel are made by `tools/guest.sh` (Debian 13, kept in build/guest); the checkout lies on a second disk. The guest has two
cables of virtio devices (`support.nics`); a test in it may cut one by a line on its third serial port, which reaches QEMU's monitor.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import xml.etree.ElementTree as XML
from pathlib import Path
from typing import NamedTuple

from support.nics import NICS
from support.processes import tied, unix_connection
from wardtools.pki import make_test_pki

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools", "qemu-system-x86_64": "qemu-system-x86"}
SECONDS = 2000.0


class Report(NamedTuple):
    """What the guest printed; outcome of each test, `passed` or the reason why not."""

    console: list[str]
    outcomes: dict[str, str]


def missing() -> str | None:
    """Return why no guest can be had here, None when one can. The root is made at the first call."""
    if os.geteuid():
        return "making the guest's root needs root"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install {package})"
    made = subprocess.run([ROOT / "tools/guest.sh"], capture_output=True, text=True, check=False)
    return None if made.returncode == 0 else made.stderr.strip()[-300:]


def run(folder: Path, *words: str) -> Report:
    """Boot, run pytest with `words`, wait for power-off. Raises `AssertionError` with the guest's last words."""
    disk = _tree(folder, words)
    console, report = folder / "console.log", folder / "report.xml"
    base = ROOT / "build/guest"
    argv = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-smp", "2", "-accel", "tcg,thread=multi", "-m", "1024"]
    argv += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{console}", "-serial", f"file:{report}"]
    argv += ["-serial", f"unix:{folder}/asks,server=on,wait=off", "-monitor", f"unix:{folder}/monitor,server=on,wait=off"]
    argv += ["-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd.img"), "-append", "console=ttyS0 panic=1 quiet"]
    for image in (base / "root.squashfs", disk):
        argv += ["-drive", f"file={image},format=raw,if=virtio,readonly=on"]
    for name, (cable, mac) in NICS.items():
        argv += ["-netdev", f"hubport,id={name},hubid={cable}", "-device", f"virtio-net-pci,netdev={name},mac={mac},romfile="]
    guest = subprocess.Popen(tied(argv), stdin=subprocess.DEVNULL)
    try:
        sockets = tuple(unix_connection(folder / name, guest) for name in ("asks", "monitor"))
        threading.Thread(target=_pass_on, args=sockets, daemon=True).start()
        guest.wait(SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if guest.poll() is None:
            guest.kill()
            guest.wait()
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    assert "GUEST end" in lines, "\n".join(lines[-60:])
    return Report(lines, _outcomes(report))


def _tree(folder: Path, words: tuple[str, ...]) -> Path:
    tree = folder / "tree"
    tree.mkdir()
    for part in ("firmware", "hsm", "tools", "tests"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    shutil.copy(ROOT / "tests/support/guest-init", tree)
    (tree / "guest-words").write_text("\n".join(words) + "\n")
    make_test_pki(tree / "pki")
    disk = folder / "tree.squashfs"
    done = subprocess.run(["mksquashfs", tree, disk, "-all-root", "-quiet", "-no-progress"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    return disk


def _pass_on(asks: socket.socket, monitor: socket.socket) -> None:
    """Give the guest's `set_link` lines, and nothing else, to the monitor."""
    with asks, monitor, asks.makefile("rb") as lines:
        for line in lines:
            if line.startswith(b"set_link "):
                monitor.sendall(line)


def _outcomes(report: Path) -> dict[str, str]:
    found = {}
    for case in XML.fromstring(report.read_text()).iter("testcase"):
        told = [part for part in case if part.tag in ("failure", "error", "skipped")]
        name = f"{str(case.get('classname')).rpartition('.')[2]}::{case.get('name')}"
        found[name] = "passed" if not told else f"{told[0].tag}: {told[0].get('message')}\n{(told[0].text or '')[-3000:]}"
    return found
