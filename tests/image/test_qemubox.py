"""A box that its test cannot end any more, since that was killed, is ended by the kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from support.processes import alive, until

# In place of QEMU: opens the terminal that a box is asked on, and then does nothing for longer than any test.
_STAND_IN = """#!/usr/bin/env python3
import socket, sys, time
words = [word for word in sys.argv if word.startswith("socket,id=shell,path=")]
listener = socket.socket(socket.AF_UNIX)
listener.bind(words[0].split("path=")[1].split(",")[0])
listener.listen()
time.sleep(600)
"""
_TEST = """
import sys, time
from pathlib import Path
from support.machine import X86_64
from support.qemubox import QemuBox
folder = Path(sys.argv[1])
(folder / "variables.fd").touch()
box = QemuBox(folder, folder / "disk.img", machine=X86_64._replace(program=str(folder / "stand-in")))
box.power_on()
print(box.pid, flush=True)
time.sleep(600)
"""


def test_a_machine_ends_with_the_test_that_was_killed(folder: Path) -> None:
    program = folder / "stand-in"
    program.write_text(_STAND_IN)
    program.chmod(0o700)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    test = subprocess.Popen([sys.executable, "-c", _TEST, str(folder)], stdout=subprocess.PIPE, env=environment)
    assert test.stdout is not None
    machine = int(test.stdout.readline())
    try:
        assert Path(f"/proc/{machine}/cmdline").read_bytes().split(b"\0")[1] == str(program).encode()
        test.send_signal(signal.SIGKILL)
        test.wait(60)
        until(lambda: not alive(machine), "the machine is gone")
    finally:
        test.stdout.close()
        test.kill()
        if alive(machine):
            os.kill(machine, signal.SIGKILL)
