"""The supervisor's link as its unit, under a real systemd: it asks from its sandbox, and a systemd that answers no more is a reset."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import mcu
from support.mcuboard import Supervisor, micropython
from support.processes import until
from support.realsystemd import RealSystemd

SILENCE = 5
UNIT = mcu.TREE / "image/common/overlay/usr/lib/systemd/system/wardgate-supervisor.service"
ACCOUNTS = mcu.TREE / "image/common/overlay/usr/lib/sysusers.d/wardgate.conf"
# A pseudo-terminal in place of ttyACM, a short silence, lines to a file; all else is as in the image.
DROP_IN = f"""[Service]
ExecStart=
ExecStart=/usr/bin/python3 -P -m wardgate.supervisor.link --silence {SILENCE}
DeviceAllow=char-pts rw
StandardError=append:/run/test/link.log
"""


def _until(path: Path, words: str, systemd: RealSystemd, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and systemd.runs():
        if path.exists() and re.search(words, path.read_text(errors="replace")):
            return
        time.sleep(0.05)
    told = path.read_text(errors="replace") if path.exists() else "nothing"
    raise AssertionError(f"no {words}: {told}\n{systemd.said()[-2000:]}")


def test_a_systemd_that_answers_no_more_is_a_box_that_is_reset(folder: Path) -> None:
    micropython()
    systemd = RealSystemd(folder)
    supervisor = Supervisor(folder)
    try:
        terminal = os.path.realpath(supervisor.line)
        os.chmod(terminal, 0o666)  # udev's rule gives it to the account
        shutil.copytree(mcu.TREE / "firmware/wardgate", systemd.over / "usr/lib/python3/dist-packages/wardgate")
        shutil.copyfile(UNIT, systemd.units / UNIT.name)
        (systemd.units / f"{UNIT.name}.d").mkdir()
        (systemd.units / f"{UNIT.name}.d/test.conf").write_text(DROP_IN)
        (systemd.units / "wardgate.service").write_text("[Service]\nExecStart=/bin/sleep 1000\n")
        number = re.search(r"^u wardsuper (\d+) ", ACCOUNTS.read_text(), re.M)
        assert number
        systemd.start(f"{UNIT.name} wardgate.service", terminal, supervisor.line.name, "wardsuper", int(number[1]))
        log = systemd.out / "link.log"
        _until(log, "WG950 .*state=armed", systemd)

        # It is in its sandbox, and systemd answers it there.
        link = systemd.main_pid("wardgate.supervisor.link")
        told = Path(f"/proc/{link}/status").read_text()
        assert re.search(rf"^Uid:\t{number[1]}\t", told, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", told, re.M) and re.search(r"^CapEff:\t0+$", told, re.M)
        assert re.search(r"^Seccomp:\t2$", told, re.M)
        assert "WG955" not in log.read_text() and supervisor.resets() == []

        stopped = time.time()
        os.kill(systemd.pid(), signal.SIGSTOP)
        until(supervisor.resets, "the box is reset")
        pulled = supervisor.resets()
        assert len(pulled) == 1 and pulled[0] > stopped
        os.kill(systemd.pid(), signal.SIGCONT)
        _until(log, "WG953 .*what=reset", systemd)
        _until(log, "WG950 .*state=armed resets=1", systemd)
    finally:
        systemd.end()
        supervisor.unplug()
