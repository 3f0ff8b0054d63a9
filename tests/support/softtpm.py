"""A TPM 2.0 in software (swtpm) for a machine in QEMU."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import tied, until


@contextlib.contextmanager
def tpm(folder: Path) -> Iterator[Path]:
    """A TPM 2.0 in software whose memory is `folder`; the socket of its control."""
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed (apt-get install swtpm)")
    folder.mkdir(exist_ok=True)
    control = folder / "control"
    control.unlink(missing_ok=True)
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={control}", "--flags", "startup-clear"]
    program = subprocess.Popen(tied(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(control.exists, "swtpm listens")
        yield control
    finally:
        if program.poll() is None:
            program.terminate()
        program.wait(60)


def devices(chip: Path) -> tuple[str, ...]:
    """Return QEMU's words for the TPM whose control socket is `chip`."""
    return ("-chardev", f"socket,id=tpm,path={chip}", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0")
