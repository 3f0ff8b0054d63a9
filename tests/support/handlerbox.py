"""`systemctl` of a box without systemd, for RAUC's handlers: it does what the unit `wardgate-install@` does. The box is a stand-in in a
folder, RAUC is the one on the bus.

`make` puts the program into a folder; `records` reads what the box recorded; `stop` ends what still waits for RAUC.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from support.processes import kill
from support.standinbox import StandIn
from wardgate.codes import Code
from wardgate.log import Log
from wardgate.update.box import Box
from wardgate.update.installing import after, before
from wardgate.update.judge import SERVICE, Outcome, Seen
from wardgate.update.trial import Side
from wardgate.update.watching import until_over

SYSTEMCTL = """\
#!/bin/sh
# A job that nobody waits for holds no pipe of the handler's.
for unit; do :; done
what=$(systemd-escape --unescape --instance "$unit")
case "$*" in
*--no-block*) {python} -m support.handlerbox {folder} "$what" </dev/null >>{folder}/over.log 2>&1 &
    echo $! >>{folder}/pids ;;
*) {python} -m support.handlerbox {folder} "$what" ;;
esac
"""


class HandlerBox(StandIn):
    """A box of which slots and log are stand-ins, and RAUC is not."""

    def record(self, config: Any, event: str, old: Side, new: Side, code: Code, detail: str = "", ident: bytes | None = None) -> None:
        with (Path(self._state) / "records").open("a") as file:
            file.write(f"{event} {new.slot} {new.version} {code} {detail}\n")

    def is_idle(self) -> bool:
        return Box.is_idle(self)

    def last_error(self) -> str:
        return Box.last_error(self)


def make(folder: Path) -> Path:
    """Write the program `systemctl` into `folder`/bin, and return that."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "systemctl"
    program.write_text(SYSTEMCTL.format(python=sys.executable, folder=folder))
    program.chmod(0o755)
    return program.parent


def records(folder: Path) -> list[str]:
    """Return what the box of `folder` has recorded."""
    return (folder / "records").read_text().splitlines() if (folder / "records").exists() else []


def stop(folder: Path) -> None:
    """End what still waits for the end of an install."""
    for pid in (folder / "pids").read_text().split() if (folder / "pids").exists() else ():
        with contextlib.suppress(OSError):
            if str(folder) in Path(f"/proc/{pid}/cmdline").read_text():  # not another's that has its number since
                kill(int(pid))


def main(folder: Path, what: str) -> None:
    """Do what an instance of the unit does."""
    box, config, log = HandlerBox(folder), None, Log("test")
    when, version, *_ = what.split(":")
    match when:
        case "before":
            before(box, config, version, lambda: Seen({SERVICE: Outcome.WORKS}, 0), only_newer=True)  # type: ignore[arg-type]
        case "over":
            until_over(box, config, log, version)  # type: ignore[arg-type]
        case "after":
            after(box, config, log, version)  # type: ignore[arg-type]


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]), sys.argv[2])
