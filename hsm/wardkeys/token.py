"""One token: its thread, its queue, its session, its state.

The thread serves requests one after another and looks at the token between them. A slow or stuck token holds up this thread and nobody
else. What others read (`report`, `refusal`, `kept`) is replaced as a whole, never changed in place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any, Final

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys import objects
from wardkeys.config import TokenConfig
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.failures import DOUBTFUL, GONE, STALE_OBJECT, WRONG_PIN, Ckr, ModuleUnusable, Rv
from wardkeys.cryptoki.module import Module
from wardkeys.cryptoki.session import Session
from wardkeys.cryptoki.slots import Token, slot_info, token, tokens
from wardkeys.errors import KeyServiceError
from wardkeys.gather import Gather
from wardkeys.listing import listing
from wardkeys.operations import OPERATIONS
from wardkeys.pin import Latch, Pin
from wardkeys.request import Request
from wardkeys.state import CODES, Report, State, Wanted, choose, is_low, tries_left
from wardkeys.uri import Uri

_LOOK_SECONDS: Final = 0.25  # is the slot still full, or full again?
_LOOK_HARD_EVERY: Final = 4  # looks; then token and session are asked too, which may cost a card an APDU
_RESTART_SECONDS: Final = 1.0  # how often a module may be restarted to find a token that it does not show
_RESTART_SLOW_SECONDS: Final = 5.0  # the same when other tokens of the module work, or after a minute
_MAX_KEPT: Final = 256


class TokenThread(threading.Thread):
    """The thread of one token. `submit` from the service's thread; everything else is its own."""

    def __init__(self, config: TokenConfig, module: Module | ModuleUnusable, others: Iterable[Wanted], latch: Latch, log: Log) -> None:
        super().__init__(name=f"token-{config.name}", daemon=True)
        self.config = config
        self.report = Report(config.name)
        self.refusal: tuple[Code, str] | None = None  # why requests are answered without being queued
        self.kept: dict[tuple[int, bytes], bytes] = {}  # public answers, by op and URI
        self.keys: dict[bytes, objects.PrivateKey] = {}  # of this session
        self.secrets: dict[bytes, objects.SecretKey] = {}
        self.busy_since = 0.0
        self.settled = threading.Event()
        self.pending: deque[Request] = deque()  # of the service's thread: what it watches for deadlines
        self._queue: SimpleQueue[Request | Callable[[], None] | None] = SimpleQueue()
        if isinstance(module, ModuleUnusable):
            self.report = Report(config.name, State.FAILED, detail=str(module), changes=1)
            self.refusal = (Code.KEYS_MODULE, str(module))
        else:
            self._module = module
        self._others = list(others)
        self._latch = latch
        self._log = log
        self._changed: Callable[[], None] = lambda: None
        self._session: Session | None = None
        self._token: Token | None = None
        self._generation = 0
        self._next_look = 0.0
        self._looks = 0
        self._next_restart = 0.0
        self._lost_at = time.monotonic()

    # --- from the service's thread

    def begin(self, changed: Callable[[], None]) -> None:
        """Start; `changed` is called from the thread whenever `report` is another one. A token without a module only stands there."""
        self._changed = changed
        if self.refusal is not None:
            self.settled.set()
        else:
            self.start()

    def ask(self, gather: Gather) -> None:
        """Queue this token's part of a LIST."""
        self._queue.put(lambda: gather.add(self._listed(gather)))

    def end(self, seconds: float) -> None:
        """Wait for the end of the thread after `stop`."""
        if self.ident is not None:
            self.join(seconds)

    def submit(self, request: Request) -> None:
        """Queue a request."""
        self._queue.put(request)

    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    def reload(self) -> None:
        """The operator says that the PIN file may be another one now."""
        self._queue.put(self._reload)

    def stop(self) -> None:
        """End after what is queued."""
        self._queue.put(None)

    # --- the thread

    def run(self) -> None:
        """Serve until `stop`."""
        self._look()
        self.settled.set()
        while True:
            try:
                item = self._queue.get(timeout=max(0.0, self._next_look - time.monotonic()))
            except Empty:
                self._look()
                continue
            if item is None:
                break
            if isinstance(item, Request):
                self._serve(item)
            else:
                item()
            if time.monotonic() >= self._next_look:
                self._look()
        self._close()

    def _serve(self, request: Request) -> None:
        if not request.waits:  # its caller is gone, or was told that it took too long
            return
        self.busy_since = time.monotonic()
        try:
            if self.busy_since > request.deadline:
                raise KeyServiceError(Code.KEYS_TIMEOUT, "it waited too long for the token")
            fields = self._twice(request)
        except KeyServiceError as error:
            request.fail(error.code, error.detail)
        except Exception as error:
            request.fail(Code.KEYS_TOKEN_FAILED, f"defect of the key service: {type(error).__name__}")
            self._log.event(Code.KEYS_TOKEN_FAILED, token=self.config.name, defect=repr(error))
        else:
            request.answer(fields)
        finally:
            self.busy_since = 0.0

    def _listed(self, gather: Gather) -> list[dict[str, Any]]:
        uri = gather.request.uri
        self.busy_since = time.monotonic()
        try:
            with self._module:
                if self._generation != self._module.generation:
                    self._open()
                there = self.token()
                if not uri.fits_token(there.label, there.serial, there.model, there.manufacturer):
                    return []
                return listing(self.session(), there, uri)
        except (Ckr, KeyServiceError):
            return []
        finally:
            self.busy_since = 0.0

    def _twice(self, request: Request) -> list[bytes]:
        """Do it; if the session turns out to be stale, look at the token and do it once more."""
        operation = OPERATIONS[request.op]
        try:
            with self._module:
                if self._generation != self._module.generation:
                    self._open()
                return operation(self, request)
        except Ckr as error:
            if error.rv not in DOUBTFUL and error.rv not in STALE_OBJECT:
                raise KeyServiceError(error.code, str(error)) from error
            self._doubt(error)
        try:
            with self._module:
                return operation(self, request)
        except Ckr as error:
            raise KeyServiceError(error.code, str(error)) from error

    # --- used by operations

    def session(self) -> Session:
        """Return the open session. Raises `KeyServiceError` with the state's code."""
        if self._session is None:
            code, detail = self.refusal or (Code.KEYS_TOKEN_ABSENT, "")
            raise KeyServiceError(code, detail)
        return self._session

    def token(self) -> Token:
        """Return the token that is there. Raises `KeyServiceError`."""
        self.session()
        assert self._token is not None
        return self._token

    def check_named(self, uri: Uri) -> None:
        """Raise `KeyServiceError` unless the token that is there is the one that the URI names."""
        there = self.token()
        if not uri.fits_token(there.label, there.serial, there.model, there.manufacturer):
            raise KeyServiceError(Code.KEYS_TOKEN_WRONG, f"{there.label} {there.serial} is there")

    def keep(self, op: int, uri: bytes, answer: bytes) -> bytes:
        """Keep a public answer for the time when the token is out."""
        if len(self.kept) >= _MAX_KEPT:
            self.kept = {}
        self.kept[(int(op), uri)] = answer
        return answer

    # --- state

    def _set(self, state: State, detail: str, there: Token | None = None, tries: int | None = None) -> None:
        old = self.report
        if there is None:
            new = old._replace(state=state, label="", serial="", model="", tries=tries, detail=detail)
        else:
            new = old._replace(state=state, label=there.label, serial=there.serial, model=there.model, tries=tries, detail=detail)
        first = not self.settled.is_set() and not old.changes
        if new == old:
            return
        if (new.state, new.serial, new.label) != (old.state, old.serial, old.label) or first:
            new = new._replace(changes=old.changes + 1)
            shown: dict[str, Any] = {"tries": tries} if tries is not None else {}
            self._log.event(CODES[state], token=self.config.name, label=new.label, serial=new.serial, detail=detail, **shown)
        self.refusal = None if state is State.PRESENT else (CODES[state], detail)
        self.report = new
        self._changed()

    def _close(self) -> None:
        session, self._session, self._token = self._session, None, None
        self.keys = {}
        self.secrets = {}
        if session is not None:
            self._lost_at = time.monotonic()
            self._module.sessions -= 1
            if self._generation == self._module.generation:
                with self._module:
                    session.close()

    def _lost(self, detail: str) -> None:
        self._close()
        self._set(State.ABSENT, detail)

    def _doubt(self, error: Ckr) -> None:
        """A call failed in a way that a removed token explains: say so at once, or find out. Ends with a session or raises."""
        if error.rv in GONE:
            self._lost(str(error))
        else:
            try:
                with self._module:
                    slot = self._session.slot if self._session else 0
                    there = token(self._module, slot) if self._session else None
                if there is None and self._session is not None:
                    self._lost(str(error))
                elif error.rv not in STALE_OBJECT:
                    self._close()
                    with self._module:
                        self._open()
                else:
                    self.keys = {}
                    self.secrets = {}
            except Ckr as again:
                self._close()
                self._set(State.FAILED, str(again))
        if self._session is None:
            code, detail = self.refusal or (Code.KEYS_TOKEN_FAILED, str(error))
            raise KeyServiceError(code, detail)

    def _look(self) -> None:
        self._looks += 1
        try:
            if self._session is not None:
                self._look_again()
            if self._session is None:
                self._search()
        except Ckr as error:
            self._close()
            self._set(State.FAILED, str(error))
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def _look_again(self) -> None:
        """Is what was there still there?"""
        assert self._session is not None and self._token is not None
        with self._module:
            if self._generation != self._module.generation:
                self._open()
                return
            slot = self._token.slot
            gone = slot_info(self._module, slot) is None
            if not gone and self._looks % _LOOK_HARD_EVERY == 0:
                there = token(self._module, slot)
                gone = there is None or there.serial != self._token.serial
                if not gone:
                    try:
                        self._session.check()
                    except Ckr:
                        gone = True
        if gone:
            self._lost("taken out")

    def _search(self) -> None:
        """Look for the token; restart the module when it is there again, or might be but the module does not show it."""
        module = self._module
        if not module.generation:
            self._restart()
        with module:
            found = choose(tokens(module), self.config.wanted, self._others)
            alone = not module.sessions
            if found[0] is not State.PRESENT or not alone or self._generation in (0, module.generation - 1):
                # Not there; or others of the module work and must not be disturbed; or just restarted.
                self._open()
        if self._session is None and (found[0] is State.PRESENT or self._restart_is_due()) and self.report.state is not State.PIN_REFUSED:
            self._restart()
            with module:
                self._open()

    def _restart_is_due(self) -> bool:
        return time.monotonic() >= self._next_restart

    def _restart(self) -> None:
        now = time.monotonic()
        slow = self._module.sessions > 0 or now - self._lost_at > 60
        self._next_restart = now + (_RESTART_SLOW_SECONDS if slow else _RESTART_SECONDS)
        self._module.restart(self._module.generation)

    def _open(self) -> None:
        """Find the token and log in; the state says how that ended. Inside `with module:`. Raises `Ckr` when the module fails."""
        self._close()
        self._generation = self._module.generation
        state, there, detail = choose(tokens(self._module), self.config.wanted, self._others)
        if state is not State.PRESENT or there is None:
            self._set(state, detail, there)
            return
        session = Session(self._module, there.slot)
        try:
            state, detail = self._login(session, there)
        except Ckr:
            session.close()
            raise
        if state is not State.PRESENT:
            session.close()
            there = token(self._module, there.slot) or there
            self._set(state, detail, there, tries_left(there.flags))
            return
        if self.report.serial and self.report.serial != there.serial:
            self.kept = {}
        self._session, self._token = session, there
        self._module.sessions += 1
        self._set(State.PRESENT, "", there, tries_left(there.flags))

    def _login(self, session: Session, there: Token) -> tuple[State, str]:
        """Log in, once. A refused PIN closes the latch."""
        if there.flags & c.CKF_USER_PIN_LOCKED:
            return State.BLOCKED, "no try of the PIN is left"
        if self.config.pin_file is None or not there.flags & c.CKF_LOGIN_REQUIRED:
            return State.PRESENT, ""
        if self._latch.closed:
            return State.PIN_REFUSED, "the PIN was refused and is not tried again"
        if there.flags & c.CKF_USER_PIN_FINAL_TRY and not self.config.use_last_try:
            return State.PIN_REFUSED, "one try is left; it is not used without unsafe_use_last_try"
        if is_low(there.flags):
            self._log.event(Code.KEYS_PIN_LOW, token=self.config.name, serial=there.serial)
        try:
            with Pin(self.config.pin_file) as (buffer, length):
                session.login(buffer, length)
        except KeyServiceError as error:
            return State.FAILED, f"{error.code} {error.detail}"
        except Ckr as error:
            if error.rv == Rv.PIN_LOCKED:
                return State.BLOCKED, str(error)
            if error.rv in WRONG_PIN:
                try:
                    self._latch.close()
                except KeyServiceError as unsafe:
                    self._log.event(unsafe.code, token=self.config.name, detail=unsafe.detail)
                return State.PIN_REFUSED, str(error)
            raise
        return State.PRESENT, ""

    def _reload(self) -> None:
        if self._latch.reload() and self._session is None:
            self._next_restart = 0.0
            self._set(State.ABSENT, "reloaded")
            self._look()
