"""A box of which updates believe that it runs from slots: its trial lies in a real folder, everything else is said by the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.update.box import Box, Bundle, RaucError
from wardgate.update.trial import Phase, Side


class StandIn(Box):
    """A box that keeps its trial in a real folder; everything else is said by the test."""

    def __init__(self, folder: Path, slot: str = "A", running: str = "1.0.0", bundle: str = "2.0.0") -> None:
        super().__init__(Log("test"), str(folder))
        self.now, self.running, self.brings, self.start = slot, running, bundle, "boot-1"
        self.done: list[str] = []
        self.detail = ""  # of the last record
        self.idents: list[bytes | None] = []  # of the records, over every start
        self.breaks = ""
        self.busy = 0  # how often RAUC says that it installs; then it has ended

    def slot(self) -> str:
        return self.now

    def boot(self) -> str:
        return self.start

    def version(self) -> str:
        return self.running

    def bundle(self, path: str) -> Bundle:
        return Bundle("wardgate-test", self.brings)

    def install(self, path: str) -> None:
        trial = self.trial()
        assert trial is not None and trial.phase is Phase.INSTALLING, "what worked is kept before the slot is written"
        self._do("install")

    def is_idle(self) -> bool:
        self.busy -= 1
        return self.busy < 0

    def last_error(self) -> str:
        return "Compatible mismatch"

    def mark(self, *, good: bool) -> None:
        self._do("good" if good else "bad")

    def _do(self, what: str) -> None:
        if self.breaks == what:
            raise RaucError("broken")
        self.done.append(what)

    def record(self, config: Any, event: str, old: Side, new: Side, code: Code, detail: str = "", ident: bytes | None = None) -> None:
        self.done.append(f"record {event} {old.version}>{new.version} {code}")
        self.detail = detail
        self.idents.append(ident)

    def restarted(self, slot: str, version: str) -> StandIn:
        self.now, self.running, self.start = slot, version, self.start + "x"
        self.done = []
        return self
