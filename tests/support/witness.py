"""A witness as `wardtool witness` runs it, over HTTPS, for tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from support.gateway import ROOT
from support.processes import free_port, until
from wardgate.custody.cosignature import WitnessKey, parse_witness_key
from wardgate.policy.model import CustodyWitness
from wardtools.pki import Pki
from wardtools.witness.main import main


def tls_files(pki: Pki) -> tuple[Path, Path]:
    """Return (certificate chain, key) of a witness at 127.0.0.1."""
    leaf = pki.leaf("witness") if (pki.directory / "witness.pem").exists() else pki.issue("witness", dns=("localhost",))
    return leaf.chain, leaf.key


class WitnessProcess:
    """`wardtool witness run` on a state directory below `place`; `vkeys`: of the logs that it knows."""

    def __init__(self, place: Path, pki: Pki, vkeys: list[Path], name: str = "witness.test/w1") -> None:
        self.state = place / "witness"
        self.place = place
        self._pki = pki
        if not self.state.exists():
            assert main(["init", str(self.state), "--name", name]) == 0
            for vkey in vkeys:
                assert main(["add-log", str(self.state), str(vkey)]) == 0
        self.port = free_port()
        self.start()

    @property
    def key(self) -> WitnessKey:
        """Its public key."""
        return parse_witness_key((self.state / "vkey").read_text())

    @property
    def configured(self) -> CustodyWitness:
        """The `[[custody.witness]]` table that names it."""
        return CustodyWitness(f"https://localhost:{self.port}", self.key.text, self._pki.root)

    def start(self) -> None:
        """Start it (again, on the same port)."""
        chain, key = tls_files(self._pki)
        self.output = self.place / f"{self.state.name}.txt"
        command = [sys.executable, "-m", "wardtools.main", "witness", "run", str(self.state), "--listen", f"127.0.0.1:{self.port}"]
        command += ["--certificate", str(chain), "--tls-key", str(key)]
        with self.output.open("ab") as out:
            out.truncate(0)
            self.process = subprocess.Popen(command, env={"PYTHONPATH": f"{ROOT}/firmware:{ROOT}/hsm:{ROOT}/tools"}, stderr=out)
        until(lambda: re.search(rf"witness serves.*:{self.port}\n", self.text()), "the witness serves")

    def text(self) -> str:
        """What it said since it was started."""
        assert self.process.poll() is None, self.output.read_text()
        return self.output.read_text()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)
