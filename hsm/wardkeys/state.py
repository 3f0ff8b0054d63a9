"""What state a token is in, judged from what its module shows. Sans-IO: no module, no thread, no clock.

    present      found, logged in, ready
    absent       no token there
    wrong        a token is there, but not the one that the configuration names
    blocked      its PIN is blocked
    pin-refused  it refused the PIN (or has one try left); not tried again until PIN file and operator say so
    failed       token, reader or module do not work

From every state to every other: what is seen now decides, nothing else, but `pin-refused`, which outlives removal and return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from wardgate.codes import Code
from wardkeys.cryptoki.constants import CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED
from wardkeys.cryptoki.slots import Token


class State(Enum):
    """A token's state, as STATUS and WATCH name it."""

    PRESENT = "present"
    ABSENT = "absent"
    BLOCKED = "blocked"
    WRONG = "wrong"
    FAILED = "failed"
    PIN_REFUSED = "pin-refused"


CODES: Final = {
    State.PRESENT: Code.KEYS_TOKEN_PRESENT,
    State.ABSENT: Code.KEYS_TOKEN_ABSENT,
    State.BLOCKED: Code.KEYS_TOKEN_BLOCKED,
    State.WRONG: Code.KEYS_TOKEN_WRONG,
    State.FAILED: Code.KEYS_TOKEN_FAILED,
    State.PIN_REFUSED: Code.KEYS_PIN_REFUSED,
}


class Wanted(NamedTuple):
    """What the configuration asks of a token; None stands for *any*. `reader` is a part of the slot's description."""

    label: str | None = None
    serial: str | None = None
    reader: str | None = None

    def fits(self, token: Token) -> bool:
        """Is `token` the one?"""
        return self.in_reach(token) and self.label in (None, token.label) and self.serial in (None, token.serial)

    def in_reach(self, token: Token) -> bool:
        """Is `token` in a reader that counts?"""
        return self.reader is None or self.reader in token.reader


class Report(NamedTuple):
    """One token as STATUS and WATCH show it. `tries` is None where the token does not tell."""

    name: str
    state: State = State.ABSENT
    label: str = ""
    serial: str = ""
    model: str = ""
    tries: int | None = None
    detail: str = "not looked at yet"
    changes: int = 0

    def shown(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**self._asdict(), "state": self.state.value}


def choose(found: Sequence[Token], wanted: Wanted, others: Iterable[Wanted]) -> tuple[State, Token | None, str]:
    """Judge what is in the slots: (PRESENT, the token, "") or why not. `others`: what other tokens of the module are meant to be."""
    fitting = [token for token in found if wanted.fits(token)]
    # OpenSC shows one card in several slots, all with its serial number; the first has the user's PIN.
    if len({token.serial or str(token.slot) for token in fitting}) > 1:
        names = ", ".join(f"{token.label} {token.serial}" for token in fitting[:4])
        return State.FAILED, None, f"{len(fitting)} tokens fit: {names}; name its serial"
    if fitting:
        return State.PRESENT, fitting[0], ""
    claimed = list(others)
    strangers = [token for token in found if wanted.in_reach(token) and not any(other.fits(token) for other in claimed)]
    if strangers:
        there = strangers[0]
        return State.WRONG, there, f"{there.label or 'a token without label'} {there.serial} is there"
    return State.ABSENT, None, "no token in its slot"


def tries_left(flags: int) -> int | None:
    """Return the tries that the flags of CK_TOKEN_INFO tell: 0, 1, or None (not told)."""
    if flags & CKF_USER_PIN_LOCKED:
        return 0
    return 1 if flags & CKF_USER_PIN_FINAL_TRY else None


def is_low(flags: int) -> bool:
    """Was a wrong PIN entered since the last right one, or is one try left?"""
    return bool(flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY))
