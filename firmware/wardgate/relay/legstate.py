"""The words of a leg: which side it is, how far it is, why it is not read from, and whom it tells."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wardgate.relay.leg import Leg


class Side(Enum):
    """Which leg: the one who called us, or the one we called."""

    ACCEPTOR = "acceptor"
    REQUESTOR = "requestor"

    __hash__ = object.__hash__  # that of `Enum` is Python code, and sides are keys of what every PDU asks for


class State(Enum):
    """Life of a leg."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    OPEN = "open"
    PARTING = "parting"  # our last byte is said; what still comes is thrown away until the peer closes
    CLOSED = "closed"


class Pause(Enum):
    """Why we do not read from a leg; the values are bits."""

    OTHER_FULL = 1  # the other leg has bytes waiting
    RECORD = 2  # a response waits for its record to be durable
    WORK = 4  # a handshake step runs in a thread
    DISK = 16  # what came waits to be written
    SPACE = 32  # the next C-STORE request waits for log space
    EARLY = 8  # our A-ASSOCIATE-RQ has not left yet: nobody may speak before it


class Owner(Protocol):
    """What a leg tells its association."""

    def connected(self, leg: Leg) -> None: ...

    def handshake_bytes(self, leg: Leg, data: bytes) -> None: ...

    def lost(self, leg: Leg, reason: str) -> None: ...

    def broken(self, leg: Leg, error: Exception) -> None: ...


class Source(Protocol):
    """What feeds a leg: it is paused while the leg has bytes waiting."""

    def pause(self, why: Pause) -> None: ...

    def resume(self, why: Pause) -> None: ...


def error_name(number: int) -> str:
    """Return what the log calls an error of a connection, 0 for none."""
    import errno

    return errno.errorcode.get(number, str(number)).lower() if number else "closed by peer"
