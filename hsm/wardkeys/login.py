"""One login: never with a PIN that was refused, never with the last try unless told so."""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys.config import TokenConfig
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.failures import WRONG_PIN, Ckr, Rv
from wardkeys.cryptoki.session import Session
from wardkeys.cryptoki.slots import Token
from wardkeys.errors import KeyServiceError
from wardkeys.pin import Latch, Pin
from wardkeys.state import State, is_low
from wardkeys.tries import tries_of


def log_in(session: Session, there: Token, config: TokenConfig, latch: Latch, log: Log) -> tuple[State, str]:
    """Log in; return (PRESENT, "") or the state that it led to and why. Raises `Ckr` when the token fails otherwise."""
    if there.flags & c.CKF_USER_PIN_LOCKED:
        return State.BLOCKED, "no try of the PIN is left"
    if config.pin_file is None or not there.flags & c.CKF_LOGIN_REQUIRED:
        return State.PRESENT, ""
    with latch.turn(there.serial) as closed:
        if closed:
            return State.PIN_REFUSED, closed
        return _try(session, there, config, latch, log)


def _try(session: Session, there: Token, config: TokenConfig, latch: Latch, log: Log) -> tuple[State, str]:
    assert config.pin_file is not None
    if tries_of(there, False) == 1 and not config.use_last_try:
        return State.PIN_REFUSED, "one try is left; it is not used without unsafe_use_last_try"
    if is_low(there.flags):
        log.event(Code.KEYS_PIN_LOW, token=config.name, serial=there.serial)
    try:
        with Pin(config.pin_file) as (buffer, length):
            session.login(buffer, length)
    except KeyServiceError as error:
        return State.FAILED, f"{error.code} {error.detail}"
    except Ckr as error:
        if error.rv == Rv.PIN_LOCKED:
            return State.BLOCKED, str(error)
        if error.rv not in WRONG_PIN:
            raise
        try:
            latch.close(there.serial)
        except KeyServiceError as unsafe:
            log.event(unsafe.code, token=config.name, detail=unsafe.detail)
        return State.PIN_REFUSED, str(error)
    return State.PRESENT, ""
