"""What the supervisor told goes into the custody log: kept on the state partition until the log takes it (`provision.kept`).

The supervisor is believed (W217), so what it may have kept is bounded: whoever plays it must not take the room of the others' events.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.provision import kept
from wardgate.provision.due import FOLDER
from wardgate.provision.kept import BoxEvent, KeptFull
from wardgate.supervisor.conversation import Event, What

KEPT_AN_HOUR: Final = 32  # twice what the supervisor itself can keep
_HOUR_SECONDS: Final = 3600.0
_LONG_AGO: Final = 0xFFFF
EVENTS: Final = {
    What.RESET: BoxEvent.SUPERVISOR_RESET,
    What.WITHHELD: BoxEvent.SUPERVISOR_WITHHELD,
    What.TAMPER_OPENED: BoxEvent.BOX_OPENED,
    What.TAMPER_CLOSED: BoxEvent.BOX_CLOSED,
    What.BUTTON_HELD: BoxEvent.BUTTON_HELD,
}  # which token is in a reader the key service says, and the log has that


class Keeping:
    """Keeps events below `state`; a box without the folder (no image) keeps nothing."""

    def __init__(self, state: str, log: Log) -> None:
        self._state = state
        self._log = log
        self._kept: deque[float] = deque(maxlen=KEPT_AN_HOUR)  # when the last ones were

    def happened(self, event: Event, code: Code, now: float) -> None:
        """Keep one event: on the disk when this returns, or told that it is not. `now`: monotonic seconds."""
        kind = EVENTS.get(event.what)
        if kind is None or not os.path.isdir(os.path.join(self._state, FOLDER)):
            return
        if len(self._kept) == KEPT_AN_HOUR and now - self._kept[0] < _HOUR_SECONDS:
            self._log.event(Code.KEPT_NO_ROOM, detail=f"more than {KEPT_AN_HOUR} of the supervisor in an hour")
            return
        self._kept.append(now)
        detail = "so long ago or longer" if event.ago == _LONG_AGO else ""
        try:
            kept.keep(self._state, kind, str(code), detail, time_ns=time.time_ns() - event.ago * 1_000_000_000)
        except (KeptFull, OSError) as error:
            self._log.event(Code.KEPT_NO_ROOM, detail=error)
