"""The card: one command APDU in, one response APDU out. No socket, no clock.

Chaining, GET RESPONSE, SELECT and reset are here; each application answers its own commands. Persistent state is changed only through
the store, which makes it durable before the answer is given: a card that loses its power at any APDU comes back in the state before it
or after it. What the store raises besides `OSError` (a test's power cut) passes through; the card object is dead then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from virtualcard import admin, apdu, pin
from virtualcard.apdu import CHAINED, Command, Refusal, Status
from virtualcard.iscl import Iscl
from virtualcard.piv import Piv
from virtualcard.session import Session
from virtualcard.store import Store

# Category 80; 73: selection by full and partial name, chaining, extended lengths; 66: pre-issuing data (ISO/IEC 7816-4 8.1.1)
HISTORICAL: Final = bytes.fromhex("8073C021C0") + b"\x66WGCARD"
_MAX_CHAIN: Final = 4096
_SELECT, _GET_RESPONSE, _VERIFY, _CHANGE, _RESET_RETRY = 0xA4, 0xC0, 0x20, 0x24, 0x2C
_SET_ADMIN, _RESET_CARD = 0xFF, 0xFB
_PROPRIETARY, _CHANNEL, _SECURE = 0x80, 0x03, 0x0C  # CLA (ISO/IEC 7816-4 5.4.1)


def answer_to_reset() -> bytes:
    """Return the ATR (ISO/IEC 7816-3 8.2): T=0 and T=1, historical bytes, check byte."""
    body = bytes([0x80 | len(HISTORICAL), 0x80, 0x01]) + HISTORICAL
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes([check])


class Card:
    """One card under power. Make another one on the same store for the card after a power cut."""

    def __init__(self, store: Store, random: Callable[[int], bytes] = os.urandom) -> None:
        self.session = Session(store, random)
        self._applications = (Piv(self.session), Iscl(self.session))
        self._common = {_VERIFY: pin.verify, _CHANGE: pin.change, _SET_ADMIN: admin.set_key, _RESET_CARD: admin.reset}
        self.reset()

    def reset(self) -> bytes:
        """Lose all that is not persistent; return the ATR."""
        self.session.forget()
        self._selected: Piv | Iscl | None = None
        self._chain: Command | None = None
        self._rest = b""
        return answer_to_reset()

    @property
    def used_private_key(self) -> bool:
        """Whether the last command used or made a private key, which takes a real card its time."""
        return self.session.signed

    def process(self, raw: bytes) -> bytes:
        """Answer one command APDU."""
        self.session.signed = False
        try:
            command = apdu.parse(raw)
            if command.ins == _GET_RESPONSE and not self._chain:
                if not self._rest:
                    raise Refusal(Status.CONDITIONS)
                return self._give(command.le)
            whole = self._joined(command)
            if whole is None:
                return Status.OK.to_bytes(2, "big")
            self._rest = self._perform(whole)
            return self._give(whole.le)
        except Refusal as refusal:
            self._chain, self._rest = None, b""
            return refusal.status.to_bytes(2, "big")

    def _give(self, le: int | None) -> bytes:
        """Return as much of the answer as was asked for, and 61XX while there is more."""
        asked = le or 0
        part, self._rest = self._rest[:asked], self._rest[asked:]
        if not self._rest:
            return part + Status.OK.to_bytes(2, "big")
        return part + bytes([0x61, len(self._rest) if len(self._rest) < 256 else 0])

    def _joined(self, command: Command) -> Command | None:
        """Return the whole command of a chain, None while more is to come."""
        if command.cla & ~(CHAINED | _PROPRIETARY | _CHANNEL | _SECURE):
            raise Refusal(Status.NO_CLASS)
        if command.cla & _SECURE:
            raise Refusal(Status.NO_SECURE_MESSAGING)
        if command.cla & _CHANNEL:
            raise Refusal(Status.NO_CHANNELS)
        before = self._chain
        cla = command.cla & ~CHAINED
        if before is not None and (before.cla, before.ins, before.p1p2) != (cla, command.ins, command.p1p2):
            raise Refusal(Status.LAST_OF_CHAIN_EXPECTED)
        data = (before.data if before else b"") + command.data
        if len(data) > _MAX_CHAIN:
            raise Refusal(Status.NO_SPACE)
        joined = Command(cla, command.ins, command.p1, command.p2, data, command.le)
        self._chain = joined if command.cla & CHAINED else None
        return None if self._chain else joined

    def _perform(self, command: Command) -> bytes:
        application = self._selected
        if command.cla & _PROPRIETARY:
            own = application.proprietary.get(command.ins) if isinstance(application, Iscl) else None
            if own is None:
                raise Refusal(Status.NO_CLASS)
            return own(command)
        if command.ins == _SELECT:
            return self._select(command)
        if application is None:
            raise Refusal(Status.CONDITIONS)
        if command.ins == _RESET_RETRY:
            if command.p1 == 0x03 and isinstance(application, Iscl):
                return application.reset_key(command)
            return pin.unblock(self.session, command)
        if command.ins in self._common:
            return self._common[command.ins](self.session, command)
        handler = application.commands.get(command.ins)
        if handler is None:
            raise Refusal(Status.NO_INSTRUCTION)
        return handler(command)

    def _select(self, command: Command) -> bytes:
        if command.p1 != 0x04 or command.p2 not in (0x00, 0x0C):
            raise Refusal(Status.WRONG_P1P2)
        for application in self._applications:
            if len(command.data) >= application.shortest_aid and application.aid.startswith(command.data):
                if application is not self._selected:
                    self.session.leave()
                self._selected = application
                found = application.selected()
                return b"" if command.p2 == 0x0C else found
        raise Refusal(Status.NOT_FOUND)
