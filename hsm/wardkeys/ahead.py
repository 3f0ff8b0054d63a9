"""Signatures begun ahead: C_SignInit for a key in use, after one answer has left and before the next request comes.

A software token unwraps the key in C_SignInit (SoftHSM: 60 to 90 us); done here, no caller waits for it. Each begun operation has a session
of its own, since a session has one at a time and PKCS#11 2.40 cannot call it off. What is begun and not used is only lost time.
Slow tokens (cards) are left alone, and keys that want the PIN for each signature are not used at all (`objects.private_key`).
"""

from __future__ import annotations

from typing import Final

from wardkeys.cryptoki.failures import Ckr
from wardkeys.cryptoki.module import Module
from wardkeys.cryptoki.session import Session
from wardkeys.cryptoki.structures import Mechanism

MAX_BEGUN: Final = 4  # keys and schemes at a time


class Ahead:
    """The begun signatures of one login. The caller is inside `with module:` for every call."""

    def __init__(self, module: Module, slot: int) -> None:
        self._module = module
        self._slot = slot
        self._begun: dict[tuple[int, bytes], Session] = {}
        self._idle: list[Session] = []
        self._last: tuple[int, bytes, Mechanism] | None = None
        self._repeated = False
        self._refused = False

    def sign(self, session: Session, key: int, scheme: bytes, mechanism: Mechanism, data: bytes) -> bytes:
        """Return the signature: of what was begun ahead for this key and scheme, else of `session`. Raises `Ckr`."""
        begun = self._begun.pop((key, scheme), None)
        self._repeated = self._last is not None and self._last[:2] == (key, scheme)
        self._last = (key, scheme, mechanism)
        if begun is None:
            return session.sign(key, mechanism, data)
        try:
            begun.ask_for(key)  # a token that is gone, or a key that was deleted: what was begun has a copy and would not notice
        except Ckr:
            begun.close()
            raise
        try:
            return begun.finish_signature(data)
        finally:
            self._idle.append(begun)

    def begin(self) -> None:
        """Begin the next signature of the key and scheme used last. A token that refuses is not asked again."""
        if self._last is None or self._refused:
            return
        key, scheme, mechanism = self._last
        if (key, scheme) in self._begun:
            return
        if len(self._begun) >= MAX_BEGUN:
            if not self._repeated:  # many keys in turn: another would only push out one that is about to be used
                return
            self._begun.pop(next(iter(self._begun))).close()
        try:
            session = self._idle.pop() if self._idle else Session(self._module, self._slot)
            session.begin_signature(key, mechanism)
        except Ckr:
            self._refused = True
            self.close()
            return
        self._begun[(key, scheme)] = session

    def close(self) -> None:
        """Close its sessions, and with them what was begun."""
        for session in (*self._begun.values(), *self._idle):
            session.close()
        self._begun, self._idle, self._last = {}, [], None
