"""The states of a token as the gateway sees it, and the code that each refusal carries."""

from __future__ import annotations

from enum import Enum

from wardgate.codes import Code


class State(Enum):
    """Of one token that the configuration names. Only `PRESENT` serves."""

    PRESENT = "present"
    ABSENT = "absent"
    WRONG = "wrong"  # another site's card, or one swapped in
    EXPIRED = "expired"  # it is there, but a certificate of a key in it is not within its time
    BLOCKED = "blocked"
    PIN_REFUSED = "pin-refused"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the key service is away


CODES = {
    State.ABSENT: Code.TOKEN_IS_ABSENT,
    State.WRONG: Code.TOKEN_IS_ANOTHER,
    State.EXPIRED: Code.TOKEN_HAS_EXPIRED,
    State.BLOCKED: Code.TOKEN_IS_BLOCKED,
    State.PIN_REFUSED: Code.TOKEN_PIN_IS_REFUSED,
    State.FAILED: Code.TOKEN_HAS_FAILED,
    State.UNKNOWN: Code.KEY_SERVICE_IS_AWAY,
}

# What the key service says of a token (`state` in STATUS and WATCH). A word that is not here counts as failed.
REPORTED = {
    "present": State.PRESENT,
    "absent": State.ABSENT,
    "wrong": State.WRONG,
    "blocked": State.BLOCKED,
    "pin-refused": State.PIN_REFUSED,
    "failed": State.FAILED,
}
