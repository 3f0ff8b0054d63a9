"""The states of a held instance, written down as notes (see `notes`)."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a held instance is. No note: it waits."""

    WAITING = "waiting"
    ANSWERED = "answered"  # the destination took it: never sent again; the custody record of that is not known to be durable
    AWAITING = "awaiting-commitment"  # taken and recorded; kept until a storage commitment report says that it is safe there
    QUARANTINED = "quarantine"  # not sent until a person decides
    GONE = "gone"  # removed: only its place in a segment may still be there
