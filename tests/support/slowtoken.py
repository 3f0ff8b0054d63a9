"""SoftHSM behind a module that can be slow, out, failing, locked: tests/support/slowtoken.c, compiled once a run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.softhsm import SoftHsm

_SOURCE = Path(__file__).with_name("slowtoken.c")
_HEADERS = "/usr/include/p11-kit-1"


class SlowToken:
    """The module. `say` tells it what to do; a copy of SoftHSM behind it keeps it apart from SoftHSM itself."""

    def __init__(self, folder: Path, hsm: SoftHsm) -> None:
        compiler = shutil.which("cc")
        if compiler is None or not Path(_HEADERS, "p11-kit/pkcs11.h").exists():
            pytest.skip("no C compiler or no pkcs11.h (apt-get install gcc libc6-dev libp11-kit-dev)")
        self.module = folder / "slowtoken.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-I", _HEADERS, "-o", self.module, _SOURCE, "-ldl"], check=True, timeout=200)
        copy = folder / "softhsm-copy.so"
        shutil.copy(hsm.module, copy)
        self._control = folder / "slowtoken"
        self.env = {**hsm.env, "SLOWTOKEN_MODULE": str(copy), "SLOWTOKEN_CONTROL": str(self._control)}
        self.say("0")

    def say(self, word: str) -> None:
        """Milliseconds a signature, or out, fail, locked, last."""
        fresh = self._control.with_name("slowtoken.new")
        fresh.write_text(word)
        fresh.rename(self._control)

    @property
    def logins(self) -> int:
        """How often a PIN was tried."""
        return self._count("logins")

    @property
    def signatures(self) -> int:
        """How often something was signed."""
        return self._count("signs")

    def _count(self, what: str) -> int:
        path = self._control.with_name(f"slowtoken.{what}")
        return path.stat().st_size if path.exists() else 0
