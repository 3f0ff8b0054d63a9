"""Network namespaces that end with the test: each is kept by a sleeping process of its own, nothing of the host is touched."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from support.processes import END_SECONDS, Program, run, until


class Namespace:
    """One network namespace with `lo` up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._keeper = subprocess.Popen(["unshare", "-n", "--", "sleep", "3600"], stdin=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self._keeper.pid}/ns/net") != own, f"namespace {name}")
        self.do("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """The process that keeps it."""
        return self._keeper.pid

    def argv(self, words: Iterable[str | Path]) -> list[str]:
        """Return the command line that runs `words` inside."""
        return ["nsenter", "-t", str(self.pid), "-n", "--", *map(str, words)]

    def run(self, *words: str | Path, seconds: float = END_SECONDS, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end."""
        return run(self.argv(words), seconds, env)

    def do(self, *words: str | Path) -> str:
        """Run a program that must succeed; return what it printed."""
        done = self.run(*words)
        if done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(map(str, words))}: {done.stdout[-2000:]}")
        return done.stdout

    def start(self, words: Iterable[str | Path], log: Path, env: dict[str, str] | None = None) -> Program:
        """Start a program inside."""
        return Program(self.argv(words), log, env)

    def mac(self, device: str = "eth0") -> str:
        """Return the MAC address of a device."""
        return str(json.loads(self.do("ip", "-j", "link", "show", "dev", device))[0]["address"])

    def listens(self, port: int) -> bool:
        """Tell whether a TCP socket listens there."""
        return f":{port} " in self.do("ss", "-Hltn") + " "

    def close(self) -> None:
        """End it."""
        self._keeper.kill()
        self._keeper.wait()


def wire(one: Namespace, device: str, other: Namespace, other_device: str) -> None:
    """Join two namespaces by a cable (a veth pair); both ends are down."""
    one.do("ip", "link", "add", device, "type", "veth", "peer", "name", other_device, "netns", str(other.pid))


def can() -> str | None:
    """Return why namespaces cannot be had here, None when they can."""
    from support.peers import have

    if os.geteuid():
        return "network namespaces need root"
    if not have("unshare", "nsenter", "ip", "nft", "ss", "setpriv", "tcpdump"):
        return "unshare, nsenter, setpriv, ip, ss, nft or tcpdump is missing"
    done = run(["unshare", "-n", "ip", "link", "add", "wg0", "type", "veth", "peer", "name", "wg1"])
    return None if done.returncode == 0 else f"no network namespace with virtual devices: {done.stdout.strip()[-100:]}"
