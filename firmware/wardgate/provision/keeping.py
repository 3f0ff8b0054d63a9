"""`python -m wardgate.provision.keeping CONFIG`: gives the log and the audit what was kept while they were away, and
raises the time floor.

A short-lived program that the master starts when there is something to do. The vault is open then: the writer answers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from wardgate.audit.once import code_named, outbox_of, tell
from wardgate.codes import Code
from wardgate.custody.client import WriterGone
from wardgate.custody.clock import Clock
from wardgate.custody.event import append
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.provision import floor, kept

if TYPE_CHECKING:
    from wardgate.policy.model import Config

_SECONDS: Final = 15.0


def run(config: Config, log: Log) -> bool:
    """Do it once; False when something stayed undone, which its log line tells."""
    state = config.box.state
    now, quality = Clock().now()
    try:
        if floor.raise_floor(state, now / 1e9, quality is Quality.SYNCHRONISED):
            log.event(Code.FLOOR_RAISED)
        outbox = outbox_of(config, log)
        events = kept.waiting(state, config.box.name, now, quality)
        for event in events:
            index = append(config.writer_socket, event.record, _SECONDS, event.ident)
            code = code_named(event.code)
            if code is not None:
                tell(outbox, code, {"detail": event.detail}, event.happened_ns, log)
            kept.done(event)
            log.event(Code.KEPT_RECORDED, index=index)
        kept.tell_lost(state)
    except (WriterGone, OSError) as error:
        log.event(Code.KEPT_NOT_RECORDED, detail=error)
        return False
    return True


def main(arguments: list[str]) -> int:
    """Run once; return 0 when nothing is left to do, 1 when there is, 2 on wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m wardgate.provision.keeping CONFIG\n")
        return 2
    from wardgate.policy import load

    config = load(arguments[0], check_files=False)
    return 0 if run(config, Log(f"{config.box.name}.keeping")) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
