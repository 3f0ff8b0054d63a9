"""A token as the service holds it: the session, what state the token is in, and what becomes of both when calls fail.

One thread at a time, which has `turn`. What other threads read (`report`, `refusal`, `kept`, `pace`) is replaced as a whole, never
changed in place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys import objects
from wardkeys.ahead import Ahead
from wardkeys.config import TokenConfig
from wardkeys.cryptoki.failures import DOUBTFUL, GONE, STALE_OBJECT, Ckr
from wardkeys.cryptoki.module import Module
from wardkeys.cryptoki.session import Session
from wardkeys.cryptoki.slots import Token, slot_info, token, tokens
from wardkeys.cryptoki.structures import Mechanism
from wardkeys.errors import KeyServiceError
from wardkeys.login import log_in
from wardkeys.pin import Latch
from wardkeys.state import CODES, Report, State, Wanted, choose
from wardkeys.tries import tries_of
from wardkeys.uri import Uri

_LOOK_HARD_EVERY: Final = 4  # looks; then token and session are asked too, which may cost a card an APDU
_RESTART_SECONDS: Final = 1.0  # how often a module may be restarted to find a token that it does not show
_RESTART_SLOW_SECONDS: Final = 5.0  # the same when other tokens of the module work, or after a minute
_LOST_LONG_SECONDS: Final = 60.0
_REMOVAL_SECONDS: Final = 0.8
_REMOVAL_AGAIN_SECONDS: Final = 5.0
_MAX_KEPT: Final = 256
_AWAY: Final = (State.ABSENT, State.WRONG)


class Holder:
    """One configured token. Methods that touch the module need `turn`."""

    def __init__(self, config: TokenConfig, module: Module | None, others: Iterable[Wanted], latch: Latch, log: Log) -> None:
        self.config = config
        self.turn = threading.Lock()
        self.report = Report(config.name)
        self.refusal: tuple[Code, str] | None = None  # why requests are answered without being queued
        self.kept: dict[tuple[int, bytes], bytes] = {}  # public answers, by op and URI
        self.keys: dict[bytes, objects.PrivateKey] = {}  # of this session
        self.secrets: dict[str, objects.SecretKey] = {}
        self.pairs: frozenset[str] = frozenset()  # ISCL keys known to differ from the other of their pair
        self.changed: Callable[[], None] = lambda: None
        self.log = log
        if module is not None:  # without one nothing below is called
            self._module = module
        self._others = list(others)
        self._latch = latch
        self._session: Session | None = None
        self._ahead: Ahead | None = None
        self._token: Token | None = None
        self._generation = 0
        self._looks = 0
        self._last_serial = ""
        self._next_restart = 0.0
        self._next_wait = 0.0
        self._lost_at = time.monotonic()

    # --- use

    def use(self, operation: Callable[[], list[bytes]]) -> list[bytes]:
        """Do it; if the session turns out to be stale, look at the token and do it once more. Raises `KeyServiceError`."""
        try:
            with self._module:
                if self._generation != self._module.generation:
                    self._open()
                return operation()
        except Ckr as error:
            if error.rv not in DOUBTFUL and error.rv not in STALE_OBJECT:
                raise KeyServiceError(error.code, str(error)) from error
            self._doubt(error)
        try:
            with self._module:
                return operation()
        except Ckr as error:
            if error.rv in DOUBTFUL:
                self._wait_for_removal(str(error))
            raise KeyServiceError(error.code, str(error)) from error

    def session(self) -> Session:
        """Return the open session. Raises `KeyServiceError` with the state's code."""
        if self._session is None:
            code, detail = self.refusal or (Code.KEYS_TOKEN_ABSENT, "")
            raise KeyServiceError(code, detail)
        return self._session

    def sign(self, session: Session, key: int, scheme: bytes, mechanism: Mechanism, data: bytes) -> bytes:
        """Return a signature, of what was begun ahead where there is such. Inside `use`. Raises `Ckr`."""
        assert self._ahead is not None
        return self._ahead.sign(session, key, scheme, mechanism, data)

    def begin_ahead(self) -> None:
        """After an answer: begin the next signature of the same key."""
        if self._ahead is None or self._generation != self._module.generation:
            return
        with self._module:
            self._ahead.begin()

    def named(self, uri: Uri) -> Token:
        """Return the token that is there. Raises `KeyServiceError` unless it is the one that the URI names."""
        self.session()
        there = self._token
        assert there is not None
        if not uri.fits_token(there.label, there.serial, there.model, there.manufacturer):
            raise KeyServiceError(Code.KEYS_TOKEN_WRONG, f"{there.label} {there.serial} is there")
        return there

    def keep(self, op: int, uri: bytes, answer: bytes) -> bytes:
        """Keep a public answer for the time when the token is out."""
        if len(self.kept) >= _MAX_KEPT:
            self.kept = {}
        self.kept[(int(op), uri)] = answer
        return answer

    # --- looks

    def look(self) -> None:
        """Is what was there still there? Is what was not there now?"""
        self._looks += 1
        try:
            if self._session is not None:
                self._look_again()
            if self._session is None:
                self._search()
        except Ckr as error:
            self.close()
            self._set(State.FAILED, str(error))

    def reload(self) -> None:
        """The operator says that the PIN file may be another one now."""
        if self._latch.reload() and self._session is None:
            self._next_restart = 0.0
            self.look()

    def close(self) -> None:
        """Give up the session."""
        session, ahead, self._session, self._ahead, self._token = self._session, self._ahead, None, None, None
        self._forget()
        if session is not None:
            self._lost_at = time.monotonic()
            self._module.sessions -= 1
            if self._generation == self._module.generation:
                with self._module:
                    if ahead is not None:
                        ahead.close()
                    session.close()

    def _forget(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self.keys = {}
        self.secrets = {}
        self.pairs = frozenset()

    def _lost(self, detail: str) -> None:
        self.close()
        self._set(State.ABSENT, detail)

    def _set(self, state: State, detail: str, there: Token | None = None, tries: int | None = None) -> None:
        """Make it known. A change is another state or another token."""
        old = self.report
        label, serial, model = (there.label, there.serial, there.model) if there else ("", "", "")
        new = Report(old.name, state, label, serial, model, tries, detail, old.changes)
        if (old.changes and new._replace(detail="") == old._replace(detail="") and state is not State.FAILED) or new == old:
            return  # a token that is out is out, whatever says so next
        if not old.changes or (new.state, new.serial, new.label) != (old.state, old.serial, old.label):
            new = new._replace(changes=old.changes + 1)
            shown: dict[str, Any] = {"tries": tries} if tries is not None else {}
            self.log.event(CODES[state], token=self.config.name, label=new.label, serial=new.serial, detail=detail, **shown)
        self.refusal = None if state is State.PRESENT else (CODES[state], detail)
        self.report = new
        self.changed()

    def _doubt(self, error: Ckr) -> None:
        """A call failed in a way that a removed token explains: say so at once, or find out. Ends with a session or raises."""
        if error.rv in GONE:
            self._lost(str(error))
        else:
            try:
                with self._module:
                    there = token(self._module, self._session.slot) if self._session else None
                    if there is None or self._token is None or there.serial != self._token.serial:
                        self._lost(str(error))
                    elif error.rv in STALE_OBJECT:
                        self._forget()
                    else:
                        self._open()
            except Ckr as again:
                self._wait_for_removal(str(again))
                self.close()
                self._set(State.FAILED, str(again))
        self.session()

    def _wait_for_removal(self, detail: str) -> None:
        """A card that was just pulled fails before its reader says so (pcscd: 0.4 s). Raises `KeyServiceError` when that is it."""
        now = time.monotonic()
        if now < self._next_wait:  # a token that fails again and again fails at once
            return
        self._next_wait = now + _REMOVAL_AGAIN_SECONDS
        serial, limit = self._last_serial, now + _REMOVAL_SECONDS
        while time.monotonic() < limit:
            try:
                with self._module:
                    gone = all(there.serial != serial for there in tokens(self._module))
            except Ckr:
                gone = False
            if gone:
                self._next_wait = 0.0
                self._lost(detail)
                self.session()
            time.sleep(_REMOVAL_SECONDS / 16)

    def _look_again(self) -> None:
        assert self._session is not None and self._token is not None
        with self._module:
            if self._generation != self._module.generation:
                self._open()
                return
            slot = self._token.slot
            gone = slot_info(self._module, slot) is None
            if not gone and self._looks % _LOOK_HARD_EVERY == 0:
                there = token(self._module, slot)
                gone = there is None or there.serial != self._token.serial or not self._session.lives()
        if gone:
            self._lost("taken out")

    def _search(self) -> None:
        """Look for the token. The module is restarted when the token is back, and when it might be but the module does not show it."""
        module = self._module
        if not module.is_ready:  # never begun, or its last beginning failed: then now and then again
            if module.generation and time.monotonic() < self._next_restart:
                return
            self._restart()
        fresh = self._generation != module.generation  # restarted since it was last opened here
        with module:
            state, _, _ = choose(tokens(module), self.config.wanted, self._others)
            # A token that came back gets a module that begins anew, unless others of the module work and must not be disturbed.
            back = state is State.PRESENT and self.report.state in _AWAY and not fresh and not module.sessions
            if not back:
                self._open()
        due = self.report.state in (*_AWAY, State.FAILED) and time.monotonic() >= self._next_restart
        if self._session is None and (back or due):
            self._restart()
            with module:
                self._open()

    def _restart(self) -> None:
        now = time.monotonic()
        slow = self._module.sessions > 0 or now - self._lost_at > _LOST_LONG_SECONDS
        self._next_restart = now + (_RESTART_SLOW_SECONDS if slow else _RESTART_SECONDS)
        self._module.restart(self._module.generation)

    def _open(self) -> None:
        """Find the token and log in; the state says how that ended. Inside `with module:`. Raises `Ckr` when the module fails."""
        self.close()
        self._generation = self._module.generation
        state, there, detail = choose(tokens(self._module), self.config.wanted, self._others)
        if state is not State.PRESENT or there is None:
            self._set(state, detail, there)
            return
        session = Session(self._module, there.slot)
        try:
            state, detail = log_in(session, there, self.config, self._latch, self.log)
        except Ckr:
            session.close()
            raise
        if state is State.PRESENT:
            if self._last_serial != there.serial:
                self.kept = {}
            self._last_serial = there.serial
            self._session, self._ahead, self._token = session, Ahead(self._module, there.slot), there
            self._module.sessions += 1
        else:
            session.close()
            there = token(self._module, there.slot) or there  # its flags may be others now
        old = self.report
        asked = old.state is state and old.serial == there.serial  # the card is not asked four times a second
        self._set(state, detail, there, old.tries if asked else tries_of(there, state is State.PIN_REFUSED))
