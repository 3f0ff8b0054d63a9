"""PIN and PUK: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER (SP 800-73-4 Part 2, 3.2.1 to 3.2.3). Both applications have them."""

from __future__ import annotations

from typing import Final

from virtualcard.apdu import Command, Refusal, Status, tries_left
from virtualcard.session import Session
from virtualcard.state import CardState, Secret

PIN, PUK = 0x80, 0x81
_BYTES: Final = 8
_PAD: Final = b"\xff"


def verify(session: Session, command: Command) -> bytes:
    """00 20 00|FF 80: verify the PIN; without data tell the state; P1 FF: forget that it was verified."""
    if command.p2 != PIN:
        raise Refusal(Status.NO_KEY)
    if command.p1 == 0xFF and not command.data:
        session.pin_verified = session.pin_fresh = False
        return b""
    if command.p1 != 0x00:
        raise Refusal(Status.WRONG_P1P2)
    if not command.data:
        if session.pin_verified:
            return b""
        raise tries_left(session.state.pin.tries)
    _check_pin(session, _pin(command.data))
    session.pin_verified = session.pin_fresh = True
    return b""


def change(session: Session, command: Command) -> bytes:
    """00 24 00 80|81: old and new value, 8 bytes each."""
    if command.p1 != 0x00 or len(command.data) != 2 * _BYTES:
        raise Refusal(Status.WRONG_P1P2 if command.p1 else Status.WRONG_DATA)
    old, new = command.data[:_BYTES], command.data[_BYTES:]
    if command.p2 == PIN:
        value = _pin(new)  # judged before a try is used up
        _check_pin(session, _pin(old))
        with session.change() as changed:
            changed.pin.value = value
        session.pin_verified = session.pin_fresh = True
    elif command.p2 == PUK:
        session.compare(_puk, session.state.puk.value, old)
        with session.change() as changed:
            changed.puk.value = new
    else:
        raise Refusal(Status.NO_KEY)
    return b""


def unblock(session: Session, command: Command) -> bytes:
    """00 2C 00 80: PUK and new PIN, 8 bytes each; the PIN has all its tries again."""
    if command.p1p2 != PIN:
        raise Refusal(Status.NO_KEY)
    if len(command.data) != 2 * _BYTES:
        raise Refusal(Status.WRONG_DATA)
    value = _pin(command.data[_BYTES:])
    session.compare(_puk, session.state.puk.value, command.data[:_BYTES])
    with session.change() as changed:
        changed.pin.value, changed.pin.tries = value, changed.pin.limit
    session.pin_verified = session.pin_fresh = False
    return b""


def _check_pin(session: Session, given: bytes) -> None:
    try:
        session.compare(lambda state: state.pin, session.state.pin.value, given)
    except Refusal:
        session.pin_verified = session.pin_fresh = False
        raise


def _puk(state: CardState) -> Secret:
    return state.puk


def _pin(field: bytes) -> bytes:
    """Return the digits of a PIN padded with FF to 8 bytes: 6 to 8 of them (SP 800-73-4 Part 2, 2.4.3)."""
    digits = field.rstrip(_PAD)
    if len(field) != _BYTES or not 6 <= len(digits) <= _BYTES or any(byte not in b"0123456789" for byte in digits):
        raise Refusal(Status.WRONG_DATA)
    return digits
