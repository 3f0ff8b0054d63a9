"""OpenSC's pkcs11-spy between the key service and a PKCS#11 module: it writes down every call, and here sessions are counted by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SPIES = ("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so", "/usr/lib/pkcs11-spy.so")
_CALL = re.compile(r"^\d+: (C_\w+)$")
_HANDLE = re.compile(r"^\[(?:in|out)\] \*?(?:ph|h)Session = (0x[0-9a-f]+)$")
_RETURNED = "Returned:  "
_OPENS, _CLOSES = "C_OpenSession", "C_CloseSession"
_ENDS_ALL = ("C_CloseAllSessions", "C_Finalize")  # one token at a time here


class Pkcs11Spy:
    """`module` in place of the real one, with `env`; `read()` now and then, for what it writes down grows by 60 KB a pull."""

    def __init__(self, folder: Path, module: str) -> None:
        found = [path for path in SPIES if Path(path).exists()]
        if not found:
            pytest.skip("OpenSC's pkcs11-spy is not installed (apt-get install opensc-pkcs11)")
        self.module = found[0]
        self._log = folder / "pkcs11-spy.log"
        self.env = {"PKCS11SPY": module, "PKCS11SPY_OUTPUT": str(self._log)}
        self._offset = 0
        self._call = self._handle = ""
        self._open: set[str] = set()
        self.opened = 0  # in all

    def read(self) -> int:
        """Return how many sessions are open after what was written until now."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            *lines, rest = file.read().split(b"\n")
            self._offset = file.tell() - len(rest)
        for line in lines:
            self._line(line.decode("ascii", "replace").rstrip())
        return len(self._open)

    def _line(self, line: str) -> None:
        if call := _CALL.match(line):
            self._call, self._handle = call[1], ""
        elif handle := _HANDLE.match(line):
            self._handle = handle[1]
        elif line == _RETURNED + "0 CKR_OK":
            if self._call == _OPENS:
                self._open.add(self._handle)
                self.opened += 1
            elif self._call == _CLOSES:
                self._open.discard(self._handle)
            elif self._call in _ENDS_ALL:
                self._open.clear()
