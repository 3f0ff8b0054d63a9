"""A real systemd as first process of its own namespaces, on this machine's root under a layer in memory, with the units that a test gives.

No network (a namespace without any), nothing of it stays. Needs root, systemd and dbus.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

_SYSTEMD = Path("/usr/lib/systemd/systemd")
_HOST_UNITS = Path("/usr/lib/systemd/system")
# What every service waits for is there at once; the bus is the real one.
_UNITS = {
    "test.target": "[Unit]\nDefaultDependencies=no\nWants=dbus.socket {wanted}\n",
    **{
        f"{name}.target": "[Unit]\nDefaultDependencies=no\n"
        for name in ("sysinit", "basic", "sockets", "shutdown", "umount", "paths", "timers")
    },
}
_NAMESPACES = "--fork --pid --mount --net --uts --ipc --cgroup --kill-child"
# It is the root of a control group of its own ($1), or it would take this machine's.
_ENTER = f'echo $$ >"$1/cgroup.procs" && shift && exec unshare {_NAMESPACES} sh -c "$@"'
# $1: folder of the test, $2: a terminal, $3: its name in there.
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs layer "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay root -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" "$1/root"
cp -a "$1/over/." "$1/root/"
cat "$1/passwd" >>"$1/root/etc/passwd"
cat "$1/group" >>"$1/root/etc/group"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in run tmp dev; do mount -t tmpfs "$place" "$place"; done
mkdir run/test
mount --bind "$1/out" run/test
for device in null zero full random urandom; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
touch "dev/$3"
mount --bind "$2" "dev/$3"
exec env -i container=other PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH=/units chroot . /usr/lib/systemd/systemd --unit=test.target
"""


class RealSystemd:
    """`over` is laid over the root before `start`; `out` is `/run/test` in there."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0 or not _SYSTEMD.exists() or not Path("/usr/bin/dbus-daemon").exists() or shutil.which("unshare") is None:
            pytest.skip("a systemd of its own needs root, systemd, dbus and util-linux (apt-get install systemd dbus util-linux)")
        self._folder = folder
        self.over, self.out, self.units = folder / "over", folder / "out", folder / "over" / "units"
        for place in (self.over, self.out, self.units, folder / "layer", folder / "root"):
            place.mkdir()
        for name in ("dbus.service", "dbus.socket"):
            shutil.copyfile(_HOST_UNITS / name, self.units / name)
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        groups = next((words[1] for words in mounts if words[2] == "cgroup2"), None)
        if groups is None:
            pytest.skip("a systemd of its own needs control groups, version 2")
        self._group = Path(groups) / f"wardgate-test-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wanted: str, terminal: str, name: str, account: str, number: int) -> None:
        """Start it: `wanted` is a unit, `terminal` a device that is /dev/`name` in there, `account` and `number` those of the service."""
        for unit, text in _UNITS.items():
            (self.units / unit).write_text(text.format(wanted=wanted))
        (self._folder / "passwd").write_text(f"{account}:x:{number}:{number}::/:/usr/sbin/nologin\n")
        (self._folder / "group").write_text(f"{account}:x:{number}:\n")
        self._group.mkdir()
        words = ["sh", "-c", _ENTER, "sh", str(self._group), _SCRIPT, "sh", str(self._folder), terminal, name]
        with (self._folder / "systemd.log").open("wb") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self) -> str:
        """What the script and systemd said on their console."""
        return (self._folder / "systemd.log").read_text(errors="replace")

    def runs(self) -> bool:
        """Tell whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def pid(self) -> int:
        """Its process, as seen from here."""
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    def main_pid(self, words: str) -> int:
        """Return the child of systemd whose command line has `words`, as seen from here; 0 without one."""
        for child in Path(f"/proc/{self.pid()}/task/{self.pid()}/children").read_text().split():
            if words in Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return int(child)
        return 0

    def end(self) -> None:
        """End it and all that it started: they go with their first process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
        for _ in range(1200):
            for path in sorted(self._group.rglob("*"), reverse=True) if self._group.exists() else []:
                if path.is_dir():
                    with contextlib.suppress(OSError):  # its processes are still going
                        path.rmdir()
            with contextlib.suppress(OSError):
                self._group.rmdir()
            if not self._group.exists():
                return
            time.sleep(0.05)
        raise AssertionError(f"{self._group} is not empty")
