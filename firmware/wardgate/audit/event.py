"""What happened, as it travels from the process where it did to the audit sender: one JSON object a packet. Sans-IO.

emitter -> sender   {"n":7, "event":{"code":316, "time":ns, "who":"wardgate[1.0]", "peer":"...", "words":{"at":"...", ...}}}
sender -> emitter   {"kept":7}        all up to this one are on disk
anyone -> sender    {"do":"status"}   {"do":"leave"}     answered with one object
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from wardgate.codes import Code

MAX_PACKET: Final = 65536
MAX_WORD: Final = 400
# What a message may carry of an event's fields: where, and why. Nothing else of them leaves the box.
WORDS: Final = ("link", "at", "side", "phase", "port", "detail", "was", "users", "what", "repeated", "by")


class EventError(ValueError):
    """A packet that is not an event: a defect of its sender."""


class AuditEvent(NamedTuple):
    """One event. `code`: the number of its code; `time_ns`: nanoseconds since 1970; `who`: the emitter's name in the log; `peer`:
    AE titles, address or token, as in the log."""

    code: int
    time_ns: int
    who: str
    peer: str
    words: dict[str, str]

    @classmethod
    def of(cls, code: Code, time_ns: int, who: str, peer: str, fields: dict[str, Any]) -> AuditEvent:
        """Return the event of a log line, with what may travel of its fields."""
        words: dict[str, str] = {word: str(fields[word])[:MAX_WORD] for word in WORDS if word in fields}
        return cls(code.value.number, time_ns, who[:MAX_WORD], str(peer)[:MAX_WORD], words)

    def data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"code": self.code, "time": self.time_ns, "who": self.who, "peer": self.peer, "words": self.words}


def packet(number: int, event: AuditEvent) -> bytes:
    """Return the packet of one event."""
    return json.dumps({"n": number, "event": event.data()}, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> dict[str, Any]:
    """Return the object of a packet. Raises `EventError`."""
    try:
        found = json.loads(data) if len(data) <= MAX_PACKET else None
    except (ValueError, RecursionError) as error:
        raise EventError("not JSON") from error
    if not isinstance(found, dict):
        raise EventError("not an object, or too long")
    return found


def event_in(found: dict[str, Any]) -> tuple[int, AuditEvent]:
    """Return number and event of a packet. Raises `EventError`."""
    number, event = found.get("n"), found.get("event")
    if type(number) is not int or not isinstance(event, dict):
        raise EventError("no event")
    code, when, who, peer, words = (event.get(name) for name in ("code", "time", "who", "peer", "words"))
    if type(code) is not int or type(when) is not int or not 0 <= when < 1 << 62 or not isinstance(who, str) or not isinstance(peer, str):
        raise EventError("a wrong field")
    if not isinstance(words, dict) or not all(word in WORDS and isinstance(value, str) for word, value in words.items()):
        raise EventError("a wrong word")
    return number, AuditEvent(code, when, who, peer, words)
