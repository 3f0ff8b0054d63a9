"""What a short-lived program has to tell the audit: once, and kept by the sender before the program ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wardgate.audit.outbox import Outbox
from wardgate.codes import Code

if TYPE_CHECKING:
    from wardgate.log import Log
    from wardgate.policy.model import Config

SECONDS: Final = 5.0  # for the sender to have an event on its disk: the custody log has it already


def outbox_of(config: Config, log: Log) -> Outbox | None:
    """Return the way to the audit sender of this box, None where nothing is audited."""
    return Outbox(config.audit_socket, log.name) if config.audit is not None else None


def tell(outbox: Outbox | None, code: Code, fields: dict[str, Any], time_ns: int, log: Log) -> None:
    """Have an event audited, if its code is. A sender that is away is told in the log, and keeps nobody waiting longer than `SECONDS`."""
    if outbox is None:
        return
    outbox.put(code, "", fields, time_ns)
    if not outbox.wait(SECONDS):
        log.event(Code.AUDIT_EVENTS_LOST, detail=f"{code} {fields.get('detail', '')}".rstrip())


def code_named(name: str) -> Code | None:
    """Return the code that is printed so, such as `WG904`; None when there is none."""
    code = Code.numbered(int(name[2:])) if name[2:].isdecimal() else None
    return code if str(code) == name else None
