"""A box in QEMU without hardware virtualisation: firmware with Secure Boot on, the disk, two networks, a shell on a terminal of its own.

The serial port is the box's console; what it says is in `console`. The box is ended by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pexpect.fdpexpect

from support import signedstate
from support.imagekit import BUILD, Image, account
from support.machine import X86_64, Machine
from support.processes import tied, unix_connection
from support.taps import Cables
from support.units import TREE

sys.path.append(str(TREE / "image/common"))
import layout  # not a package: Buildroot's own Python runs it

BOOT_SECONDS = 1200.0  # on a machine that does nothing else it takes one minute
# On a busy machine a box with one processor is sooner up than one whose two wait for each other.
CPUS = os.environ.get("WARDGATE_IMAGE_CPUS", "2")
MODALITY, HOSPITAL = "52:54:00:00:00:01", "52:54:00:00:00:02"
BOX_MODALITY, CT, BOX_HOSPITAL, PACS = "192.0.2.1", "192.0.2.10", "198.51.100.2", "198.51.100.5"


def place_of(partition: str, machine: Machine = X86_64) -> tuple[int, int]:
    """Return offset and size of a partition on the disk, bytes."""
    offset, size = layout.place(partition, layout.settings(machine.board))
    return offset, size


def networks() -> dict[str, str]:
    """Return the addresses of the two ports, as systemd-networkd wants them."""
    made = {}
    for name, mac, address in (("modality", MODALITY, f"{BOX_MODALITY}/24"), ("hospital", HOSPITAL, f"{BOX_HOSPITAL}/24")):
        text = f"[Match]\nMACAddress={mac}\n[Network]\nAddress={address}\n"
        made[f"network/10-{name}.network"] = text + "IPv6AcceptRA=no\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n"
    return made


Contents = dict[str, str | bytes]


def factory_disk(
    image: Image,
    folder: Path,
    state: Contents,
    private: dict[str, str],
    vault: Contents | None = None,
    *,
    addresses: bool = True,
    altered: Contents | None = None,
) -> Path:
    """Return a disk as it leaves the workshop: the image, and files (path -> contents) on its `state`, signed, and, in clear, `vault`.

    `private`: path -> account that owns the file, which only it may read. `vault` None: blank, the box makes it.
    `addresses`: the ports have their own, no plant joins them. `altered`: what somebody wrote over the state after it was signed.
    """
    trees = {}
    for name, files in (("state", {**(networks() if addresses else {}), **state}), ("vault", vault)):
        if files is None:
            continue
        trees[name] = folder / name
        trees[name].mkdir()
        for path, data in files.items():
            place = trees[name] / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data.encode() if isinstance(data, str) else data)
            if path in private:
                place.chmod(0o600)
                os.chown(place, *account(image, private[path]))
    signedstate.sign(trees["state"], BUILD / "keys")
    for path, data in (altered or {}).items():
        (trees["state"] / path).write_bytes(data.encode() if isinstance(data, str) else data)
    disk = folder / "factory.img"
    subprocess.run(["cp", "--sparse=always", str(image.disk), str(disk)], check=True, timeout=120)
    for partition, source in trees.items():
        offset, size = place_of(partition, image.machine)
        made = folder / f"{partition}.ext4"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(source), str(made), f"{size >> 20}M"], check=True, timeout=120)
        words = [f"if={made}", f"of={disk}", "bs=1M", f"seek={offset >> 20}", "conv=notrunc,sparse"]
        subprocess.run(["dd", *words], check=True, timeout=120, capture_output=True)
    return disk


def overlay(disk: Path, made: Path) -> Path:
    """Return a new disk that reads as `disk` and keeps its own changes."""
    kind = "qcow2" if disk.suffix == ".qcow2" else "raw"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk.resolve()), "-F", kind, str(made)]
    subprocess.run(words, check=True, timeout=60)
    return made


class Frozen(NamedTuple):
    """A running box put away: its memory, its disk and the firmware's variables at one moment. Any number of boxes go on from it."""

    memory: Path
    disk: Path
    variables: Path


class NotBooted(AssertionError):
    """The box did not come so far within its time; with the console's last words."""


class QemuBox:
    """One box. `disk`: a file of its own, qcow2 or raw. `modality`: more words of that port's network (hostfwd). `peer`: who is reached on
    the other, this machine's loopback address under that name; without one nobody is. `cables`: the two ports are joined to these instead.
    `typed`: keys can be given to the console, at `console.sock` of `folder` (telnet).
    """

    def __init__(
        self,
        folder: Path,
        disk: Path,
        modality: str = "",
        peer: str = "",
        devices: tuple[str, ...] = (),
        secure_boot: bool = True,
        machine: Machine = X86_64,
        cables: Cables | None = None,
        typed: bool = False,
    ) -> None:
        self.folder = folder
        self.machine = machine
        self.disk = disk
        self._networks = (
            f"user,id=n0,restrict=on,net=192.0.2.0/24,host={CT}{modality}",
            # A connection to `peer` ends on this machine's loopback address, at the same port.
            f"user,id=n1,net=198.51.100.0/24,host={peer}" if peer else "user,id=n1,restrict=on,net=198.51.100.0/24",
        )
        self._cables = cables
        self._devices = devices
        self._typed = typed
        self._variables = folder / "variables.fd"
        if not self._variables.exists():
            shutil.copyfile(machine.variables if secure_boot else machine.open_variables, self._variables)
        self._is_ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._shell: pexpect.fdpexpect.fdspawn[Any] | None = None
        self._socket: socket.socket | None = None

    @property
    def console(self) -> str:
        """What the box said on its console since power on."""
        path = self.folder / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def running(self) -> bool:
        """Tell whether it is powered on."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its QEMU; it must be on."""
        assert self._process is not None
        return self._process.pid

    def power_on(self, frozen: Frozen | None = None) -> None:
        """Start it, or go on from `frozen` (its disk must be an overlay of that one's)."""
        path, monitor = self.folder / "shell.sock", self.folder / "monitor.sock"
        path.unlink(missing_ok=True)
        monitor.unlink(missing_ok=True)
        if frozen is not None:
            shutil.copyfile(frozen.variables, self._variables)
        argv = [self.machine.program, *self.machine.words]
        argv += ["-smp", CPUS, "-accel", "tcg,thread=multi", "-m", "512", "-nodefaults", "-display", "none"]
        argv += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={self.machine.code}"]
        argv += ["-drive", f"if=pflash,format=raw,unit=1,file={self._variables}"]
        kind = "qcow2" if self.disk.suffix == ".qcow2" else "raw"
        argv += ["-device", "virtio-rng-pci"]
        console = self.folder / "console.log"
        if self._typed:
            words = f"socket,id=console,path={self.folder / 'console.sock'},server=on,wait=off,telnet=on,logfile={console}"
            argv += ["-chardev", words, "-serial", "chardev:console"]
        else:
            argv += ["-serial", f"file:{console}"]
        argv += ["-chardev", f"socket,id=shell,path={path},server=on,wait=off", *self.machine.shell]
        argv += ["-monitor", f"unix:{monitor},server=on,wait=off"]
        if frozen is not None:
            argv += ["-incoming", f"exec:cat {frozen.memory}"]
        networks = self._networks
        if self._cables is not None:
            networks = tuple(f"{words},id=n{number}" for number, words in enumerate(self._cables.words()))
        for number, (words, mac) in enumerate(zip(networks, (MODALITY, HOSPITAL), strict=True)):
            argv += ["-netdev", words, "-device", f"virtio-net-pci,netdev=n{number},mac={mac},romfile="]
        # After the network cards, whose names go by their places. The firmware is told what to start from: else it tries everything first.
        argv += ["-drive", f"file={self.disk},format={kind},if=none,id=disk", "-device", "virtio-blk-pci,drive=disk,bootindex=1"]
        # The watchdog is there as on a board, and does nothing: a busy machine stands still for longer than the box may.
        argv += ["-device", "i6300esb", "-action", "watchdog=none"]
        log = (self.folder / "qemu.log").open("ab")
        fds = tuple(self._cables.fds.values()) if self._cables is not None else ()
        self._process = subprocess.Popen(tied([*argv, *self._devices]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds)
        log.close()
        try:
            self._socket = unix_connection(path, self._process)
        except AssertionError as error:
            raise NotBooted(f"{error}\n{(self.folder / 'qemu.log').read_text(errors='replace')[-2000:]}") from error
        self._shell = pexpect.fdpexpect.fdspawn(self._socket, encoding="utf-8", codec_errors="replace", timeout=BOOT_SECONDS)
        if frozen is not None:
            self._go_on()

    def channel(self, path: Path) -> socket.socket:
        """Return a connection to a socket that QEMU opens for one of `devices`."""
        assert self._process is not None
        return unix_connection(path, self._process)

    def _go_on(self) -> None:
        """Let a box run whose memory is being read: it was stopped when it was put away, and is again when all is read."""
        deadline = time.monotonic() + 120
        while "inmigrate" in (said := self.monitor("info status")):
            if time.monotonic() > deadline:
                raise NotBooted(f"the memory is not read: {said}")
            time.sleep(0.2)
        self.monitor("cont")

    def freeze(self) -> Frozen:
        """Put the box away as it is now, and end it."""
        memory = self.folder / "memory"
        self.monitor("stop", "migrate_set_parameter max-bandwidth 4G", f'migrate "exec:cat >{memory}"')
        self.power_off()
        return Frozen(memory, self.disk, self._variables)

    def monitor(self, *commands: str) -> str:
        """Tell QEMU; each answer is waited for, the last returned."""
        with self.channel(self.folder / "monitor.sock") as sock:
            monitor = pexpect.fdpexpect.fdspawn(sock, encoding="utf-8", timeout=120)
            monitor.expect(r"\(qemu\) ")
            for command in commands:
                monitor.sendline(command)
                monitor.expect(r"\(qemu\) ")
                assert "rror" not in monitor.before, monitor.before
            return str(monitor.before)

    def power_off(self) -> None:
        """Cut the power: the process is killed, whatever it was doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._shell = None

    def wait_shell(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until the box has started so far that a shell answers (again, after a restart)."""
        self._expect("READY", seconds)

    def _expect(self, what: str, seconds: float) -> None:
        assert self._shell is not None
        try:
            self._shell.expect(what, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise NotBooted(f"no {what!r} within {seconds} s; console:\n{self.console[-3000:]}\nshell: {self._shell.before!r}") from error

    def shell_answers(self) -> bool:
        """Has the box, since it was told to start again, come so far that its shell answers? Does not wait."""
        self._is_ready = self._is_ready or self.shell_said("READY")
        return self._is_ready

    def shell_said(self, word: str) -> bool:
        """Did the shell's terminal say `word` by now?"""
        assert self._shell is not None
        return self._shell.expect([word, pexpect.TIMEOUT, pexpect.EOF], timeout=0) == 0

    def run(self, command: str, seconds: float = 300.0) -> tuple[int, str]:
        """Run one line of shell as root in the box; return its exit status and what it said."""
        assert self._shell is not None
        self._shell.send(command.replace("\n", ";") + "\n")
        self._expect(r"END (\d+)\r?\n", seconds)
        assert self._shell.match is not None and self._shell.before is not None
        return int(self._shell.match.group(1)), self._shell.before.replace("\r", "")

    def send(self, command: str) -> None:
        """Have the box begin a line of shell, and wait for nothing."""
        assert self._shell is not None
        self._shell.send(command + "\n")

    def wait_off(self, seconds: float = 120.0) -> None:
        """Wait until the box has powered itself off."""
        assert self._process is not None
        self._process.wait(seconds)

    def ask(self, command: str, seconds: float = 300.0) -> str:
        """Run one line that must succeed; return what it said."""
        status, said = self.run(command, seconds)
        assert status == 0, f"{command}: {status}\n{said}"
        return said.strip()

    def until(self, command: str, seconds: float = BOOT_SECONDS, pause: float = 1.0) -> None:
        """Wait until a line of shell succeeds in the box. To ask costs the box processor time that its start needs, so it is not asked
        again before as much time has gone as three times the answer took."""
        deadline = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            status, said = self.run(command, max(seconds, 300.0))
            if status == 0:
                return
            if time.monotonic() > deadline:
                raise NotBooted(f"not within {seconds} s: {command}\n{said}\n{self.journal()}")
            time.sleep(max(pause, 3 * (time.monotonic() - began)))

    def in_service(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until the gateway serves and the slot is judged; by their starts, which are waited for and not asked for again and again."""
        self.until("systemctl start wardgate wardgate-update && ss -H -ltn | grep -q ':104 '", seconds)

    def slot(self) -> str:
        """Return the slot that runs."""
        return self.ask("sed 's/.*rauc.slot=\\([AB]\\).*/\\1/' /proc/cmdline")

    def journal(self, lines: int = 60) -> str:
        """Return the last words of our services."""
        units = "wardgate wardgate-netd wardgate-management wardgate-update wardgate-ports wardkeys pcscd rauc"
        units += " wardgate-vault vault.mount state.mount efi.mount"
        words = " ".join(f"-u {unit}" for unit in units.split())
        return self.run(f"journalctl -b --no-pager -o short-monotonic {words} | tail -n {lines}")[1]


@contextlib.contextmanager
def powered(box: QemuBox, frozen: Frozen | None = None) -> Iterator[QemuBox]:
    """Power a box on, or let it go on from `frozen`; whatever happens, it is off afterwards."""
    box.power_on(frozen)
    try:
        yield box
    finally:
        box.power_off()
