"""What `wardgate status` shows of the audit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wardgate.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


def ask_sender(path: str) -> dict[str, Any] | None:
    """Return what the audit sender whose socket is at `path` says, None when it does not answer."""
    from wardgate.hold.port import ask

    try:
        answer = ask(path, {"do": "status"})
    except (OSError, ValueError):
        return None
    return answer if answer.pop("ok", False) else None


def lines(report: dict[str, Any] | None, events: list[dict[str, int]]) -> Iterator[str]:
    """Yield the lines for a person. `report`: of the sender; `events`: of each process that has events, `now` and `lost`."""
    waiting, lost = (sum(each.get(word, 0) for each in events) for word in ("now", "lost"))
    if lost:
        yield f"AUDIT LOST: {lost} events found no room while the audit sender did not take them"
    if report is None:
        yield f"AUDIT: the audit sender does not answer; {waiting} events wait for it"
        return
    if report["failing"]:
        yield f"AUDIT NOT WRITTEN: the spool cannot be written; {waiting} events wait"
    for one in report["repositories"]:
        if one["lost"]:
            yield f"AUDIT LOST: {one['lost']} messages went from the full spool before {printable(one['name'])} had them"
    room = f"{_mib(report['bytes'])} of {_mib(report['bound'])} MiB"
    yield f"audit: {report['spooled']} messages spooled, {room}; {waiting} events not kept yet"
    for one in report["repositories"]:
        loud = "" if one["state"] == "connected" else "  <- not connected"
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one["since"]))
        problem = f"; last problem {printable(one['problem'])}" if one["problem"] else ""
        yield (
            f"  {printable(one['name'])} at {one['at']}: {one['state']} since {since}, "
            f"{one['delivered']} delivered, {one['waiting']} waiting{problem}{loud}"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
