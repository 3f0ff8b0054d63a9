"""Brings what `netd` keeps of break-glass into the custody log: `python -m wardgate.plant.recording FILE`, started by the master.

It asks `netd` for the entries, has the custody writer make each durable, and tells `netd` how far it came. With the writer dead nothing
is lost: the master starts it again a few seconds later.
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from wardgate.audit.once import outbox_of, tell
from wardgate.codes import Code
from wardgate.custody.client import WriterGone
from wardgate.custody.clock import kernel_quality
from wardgate.custody.event import append, bypass_record
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.plant import wire
from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors

if TYPE_CHECKING:
    from wardgate.audit.outbox import Outbox

_SECONDS = 10.0


def record(netd: str, writer: str, box: str, quality: Quality, log: Log, outbox: Outbox | None = None) -> bool:
    """Record what waits, and have it audited; tell whether all of it is in the log.

    Raises `OSError`, `EOFError`, `wire.WireError`: `netd` does not answer.
    """
    while True:
        entries: list[dict[str, Any]] = _ask(netd, {"op": "bypass"})["entries"]
        if not entries:
            return True
        for entry in entries:
            try:
                index = append(writer, bypass_record(time.time_ns(), quality, box, entry), _SECONDS, _ident(entry))
            except (WriterGone, OSError) as error:
                log.event(Code.BYPASS_WAITS, waiting=len(entries), detail=error)
                return False
            code = Code.BREAK_GLASS_STARTED if entry["event"] == "begin" else Code.BREAK_GLASS_ENDED
            tell(outbox, code, {"detail": entry["reason"], "by": entry["who"] or entry["how"]}, entry["at_ns"], log)
            _ask(netd, {"op": "bypass", "done": entry["number"]})
            log.event(Code.BYPASS_RECORDED, str(entry["event"]), bypass=entry["id"], index=index)


def _ident(entry: dict[str, Any]) -> bytes:
    """The same 16 bytes for the same entry: the writer takes it once, however often it is told."""
    return sha256(f"bypass {entry['id']} {entry['number']}".encode()).digest()[:16]


def _ask(netd: str, request: dict[str, Any]) -> dict[str, Any]:
    answer, fd = wire.ask(netd, request)
    if fd is not None:
        os.close(fd)
    if answer.get("ok") is not True:
        raise wire.WireError(f"netd: {answer.get('detail')}")
    return answer


def main() -> int:
    """Run it once; 1: something waits still, and was told."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m wardgate.plant.recording FILE\n")
        return 2
    try:
        config = load_config(sys.argv[1], files=False)
    except ConfigErrors:
        return 1  # told where it was loaded first
    log = Log(f"{config.box.name}.recording")
    writer = os.fspath(config.writer_socket)
    try:
        done = record(str(config.plant.socket), writer, config.box.name, kernel_quality(), log, outbox_of(config, log))
    except (OSError, EOFError, wire.WireError) as error:
        log.event(Code.NETD_UNREACHABLE, detail=error)
        return 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
