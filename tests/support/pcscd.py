"""A private pcscd with virtual readers, for tests and demonstrations.

pcscd has fixed paths and vpcd listens on every address, so each one gets its own network and mount namespace (root is needed). Its socket
directory is mounted from the test's folder: clients outside find it by `environment` (libpcsclite reads PCSCLITE_CSOCK_NAME), and nobody
but the card has to enter a namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from support.processes import LOOPBACK, Program, until
from wardkeys.pcsc import Pcsc

VPCD = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
_LIBRARIES = [Path(f"/usr/lib/{machine}-linux-gnu/libpcsclite.so.1") for machine in ("x86_64", "aarch64")]
FIRST_PORT = 35963  # its own network: always free
_LETTERS = "ABCDEFGH"
_CLONE_NEWNET = 0x40000000
_SETUP = """
set -e
ip link set lo up
mount -t tmpfs none /run
mkdir -p /run/pcscd
mount --bind "$0" /run/pcscd
exec pcscd --foreground --error --config "$1"
"""


def missing() -> str:
    """Return why no private pcscd can run here, empty where one can."""
    if os.geteuid() != 0:
        return "not root: pcscd cannot have namespaces of its own"
    tools = [tool for tool in ("pcscd", "unshare", "ip") if not shutil.which(tool)]
    if tools or not VPCD.exists():
        return f"not installed: {', '.join(tools) or 'vsmartcard-vpcd'}"
    return ""


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Pcscd:
    """One pcscd with `readers` virtual readers of one slot each, numbered from 0."""

    def __init__(self, folder: Path, readers: int = 1) -> None:
        self.readers = readers
        self._folder = folder
        self._sockets = folder / "pcscd"
        self._program: Program | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a PC/SC client needs in its environment to find this pcscd (OpenSC, our own programs)."""
        return {"PCSCLITE_CSOCK_NAME": str(self._sockets / "pcscd.comm")}

    @property
    def inside(self) -> list[str]:
        """The words before a command that has to run in its network: `python -m virtualcard ... --vpcd PORT`, FIRST_PORT + reader."""
        assert self._program is not None, "start() first"
        return ["nsenter", f"--net=/proc/{self._program.pid}/ns/net"]

    def pcsc(self) -> Pcsc:
        """Return a PC/SC context of this pcscd, whatever this process's environment says: by a copy of the library of its own."""
        path = self._folder / "libpcsclite.so.1"
        if not path.exists():
            shutil.copy(next(one for one in _LIBRARIES if one.exists()), path)
        with _environment(self.environment):
            return Pcsc(str(path))

    def reader_name(self, reader: int = 0) -> str:
        """Return the reader's name as PC/SC shows it."""
        return f"Ward Reader {_LETTERS[reader // 2]} 00 {reader % 2:02X}"

    def start(self) -> Pcscd:
        """Start it and wait until it answers."""
        self._sockets.mkdir(exist_ok=True)
        configuration = self._folder / "reader.conf.d"
        configuration.mkdir(exist_ok=True)
        (configuration / "vpcd").write_text("".join(self._reader(number) for number in range(0, self.readers, 2)))
        command = ["unshare", "-mn", "sh", "-c", _SETUP, self._sockets, configuration]
        self._program = Program(command, self._folder / "pcscd.txt")
        until(self._ready, "pcscd answers")
        return self

    def stop(self) -> None:
        """End it."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def connect(self, reader: int = 0) -> socket.socket:
        """Return a connection to the reader's vpcd, made inside its network: what a card serves on. Raises `OSError`."""
        assert self._program is not None, "start() first"
        made: list[socket.socket | OSError] = []
        worker = threading.Thread(target=self._connect, args=(self._program.pid, FIRST_PORT + reader, made))
        worker.start()  # setns() is for one thread, and ends with it
        worker.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def _connect(self, pid: int, port: int, made: list[socket.socket | OSError]) -> None:
        try:
            space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(space, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(space)
            made.append(socket.create_connection((LOOPBACK, port), 60))
            made[0].settimeout(None)  # type: ignore[union-attr]
        except OSError as error:
            made.append(error)

    def _ready(self) -> bool:
        assert self._program is not None
        if not self._program.running():
            raise AssertionError(f"pcscd ended:\n{self._program.log[-2000:]}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._sockets / "pcscd.comm"))
            return True
        return False

    def _reader(self, number: int) -> str:
        """One driver has two slots, on this port and the next, and no more: its slots are variables of the library. So a copy for each."""
        port, library = FIRST_PORT + number, self._folder / f"vpcd{number}.so"
        shutil.copy(VPCD, library)
        return f'FRIENDLYNAME "Ward Reader {_LETTERS[number // 2]}"\nDEVICENAME /dev/null:{port}\nLIBPATH {library}\nCHANNELID {port}\n\n'
