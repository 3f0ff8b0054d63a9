"""When a box starts again into what a server brought: in the hours that policy names, when no association runs or patience is over.

Associations that run when patience is over are not cut: the gateway lets them end within `limits.drain_seconds` when it is stopped.
"""

from __future__ import annotations

import os
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.master.show import ask_master

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.log import Log
    from wardgate.policy.model import Config

_PAUSE_SECONDS: Final = 5.0


class Wait(Enum):
    """Why the box does not start again yet."""

    HOURS = "not in the hours that policy names"
    ASSOCIATIONS = "associations run"


def reason(minute: int, hours: str, running: int, patient: bool) -> Wait | None:
    """Return why not now, None when now. `minute` of the day, UTC; `hours` `HH:MM-HH:MM` or empty; `running` associations;
    `patient`: patience is not over. Sans-IO."""
    if hours:
        begin, _, end = hours.partition("-")
        if not _minute(begin) <= minute < _minute(end):
            return Wait.HOURS
    return Wait.ASSOCIATIONS if running and patient else None


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def running(run_dir: str, ask: Callable[[str], dict[str, Any]] = ask_master) -> int:
    """Return how many associations run; none when the gateway does not answer: then there is nobody to disturb."""
    try:
        links = ask(os.path.join(run_dir, "status.sock"))["totals"].get("links", {})
        return sum(int(link["now"]) for link in links.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def wait(config: Config, log: Log, count: Callable[[], int], pause: Callable[[float], None] = time.sleep) -> None:
    """Return when the box may start again. `count`: how many associations run."""
    updates = config.updates
    hours, patience = (updates.restart_hours, updates.restart_patience_seconds) if updates is not None else ("", 0)
    waited, told = 0.0, None
    while True:
        now = time.gmtime()
        associations = count()
        why = reason(now.tm_hour * 60 + now.tm_min, hours, associations, waited < patience)
        if why is None:
            break
        if why is not told:
            log.event(Code.UPDATE_RESTART_WAITS, detail=why.value, hours=hours or "any", associations=associations)
            told = why
        pause(_PAUSE_SECONDS)
        # Patience counts within the hours only.
        waited += _PAUSE_SECONDS if why is Wait.ASSOCIATIONS else 0.0
    log.event(Code.UPDATE_RESTART, associations=associations)
