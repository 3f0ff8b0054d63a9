"""Real peers from DCMTK, started by tests and the demo: each returns a running `Program` or a finished process."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from support.processes import END_SECONDS, LOOPBACK, Program, run


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a DCMTK program needs for mutual TLS."""

    chain: Path
    key: Path
    anchors: Path

    def words(self) -> list[str]:
        """Return the options."""
        return ["+tls", str(self.key), str(self.chain), "-rc", "+cf", str(self.anchors)]


def have(*programs: str) -> bool:
    """Tell whether every one of `programs` is installed."""
    return all(shutil.which(program) for program in programs)


def storescp(folder: Path, port: int, *options: str, ae: str = "PACS", tls: TlsFiles | None = None) -> Program:
    """Start an SCP that keeps the data set bytes as they came (`--bit-preserving`), one file an instance, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["storescp", "-v", "+xa", "-pm", "+B", "-aet", ae, "-od", str(folder), *(tls.words() if tls else []), *options, str(port)]
    program = Program(words, folder.with_suffix(".log"), {"TCP_NODELAY": "1"})
    program.wait_listening(port)
    return program


def echoscu(port: int, *options: str, calling: str, called: str, tls: TlsFiles | None = None) -> CompletedProcess[str]:
    """Send a C-ECHO."""
    return run(["echoscu", "-v", *(tls.words() if tls else []), "-aet", calling, "-aec", called, *options, LOOPBACK, str(port)])


def storescu(port: int, *files: Path | str, calling: str, called: str, tls: TlsFiles | None = None) -> CompletedProcess[str]:
    """Send files (options may stand among them) on one association."""
    words = ["storescu", "-v", *(tls.words() if tls else []), "-aet", calling, "-aec", called, LOOPBACK, str(port), *map(str, files)]
    return run(words)


def dcmsend(port: int, *files: Path | str, calling: str, called: str) -> CompletedProcess[str]:
    """Send files as they are: presentation contexts fit each file and nothing is decompressed. Plain only."""
    return run(["dcmsend", "-v", "-nuc", "-dn", "-aet", calling, "-aec", called, LOOPBACK, str(port), *map(str, files)])


def findscu(port: int, *options: str, calling: str, called: str, tls: TlsFiles | None = None) -> CompletedProcess[str]:
    """Send a C-FIND."""
    return run(["findscu", "-v", *(tls.words() if tls else []), "-aet", calling, "-aec", called, *options, LOOPBACK, str(port)])


def movescu(port: int, *options: str, calling: str, called: str, seconds: float = END_SECONDS) -> CompletedProcess[str]:
    """Send a C-MOVE. Plain only."""
    return run(["movescu", "-v", "-aet", calling, "-aec", called, *options, LOOPBACK, str(port)], seconds)


def wlmscpfs(folder: Path, port: int) -> Program:
    """Start a worklist SCP over `folder/AE/*.wl`. Plain only."""
    program = Program(["wlmscpfs", "-v", "-dfp", str(folder), str(port)], folder / "wlmscpfs.log")
    program.wait_listening(port)
    return program


def dcmqrscp(folder: Path, port: int, ae: str, taker: str, back: int) -> Program:
    """Start DCMTK's archive `ae` over `folder`; what is moved goes to `taker` at the port `back`. Plain only."""
    folder.mkdir()
    config = folder.with_suffix(".cfg")
    config.write_text(
        f"""NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
box = ({taker}, {LOOPBACK}, {back})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{ae} {folder} RW (100, 1024mb) ANY
AETable END
"""
    )
    program = Program(["dcmqrscp", "-v", "-c", config], folder.with_suffix(".log"))
    program.wait_listening(port)
    return program
