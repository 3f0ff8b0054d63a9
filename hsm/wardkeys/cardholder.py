"""A card's ISCL application over PC/SC, held like a PKCS#11 token: the same states, queue and requests, but only those of ISCL.

The card is shared with OpenSC, which uses its PIV application: each request is a transaction that selects the application anew. A challenge
that the card no longer remembers (another one was drawn, or PIV was selected) is judged by comparing with the card's own answer.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard, Purpose
from wardkeys.config import TokenConfig
from wardkeys.errors import KeyServiceError
from wardkeys.pcsc import Connection, Pcsc
from wardkeys.pin import Latch, Pin
from wardkeys.state import CODES, Report, State, Wanted
from wardkeys.uri import Uri

_PURPOSES: Final = {"s2c": Purpose.TO_CLIENT, "c2s": Purpose.TO_SERVER}
_GONE: Final = (Code.CARD_ABSENT, Code.CARD_REMOVED, Code.CARD_NO_READER)
_MEANINGS: Final = {
    Code.CARD_WEAK_KEY: Code.KEYS_ISCL_WEAK,
    Code.CARD_PEER_REFUSED: Code.KEYS_ISCL_REFUSED,
    Code.CARD_KEY_BLOCKED: Code.KEYS_ISCL_REFUSED,
    Code.CARD_EMPTY: Code.KEYS_NO_KEY,
    Code.CARD_NOT_AUTHORISED: Code.KEYS_TOKEN_FAILED,
    **dict.fromkeys(_GONE, Code.KEYS_TOKEN_ABSENT),
}
_CONDITIONS: Final = 0x6985
_WRONG_DATA: Final = 0x6A80


class CardKeys:
    """`iscl.IsclKeys` of the card, as far as its commands go."""

    def __init__(self, card: IsclCard) -> None:
        self._card = card
        self._latest: bytes | None = None  # the challenge that EXTERNAL AUTHENTICATE would be about

    def random(self, count: int) -> bytes:
        """GET CHALLENGE, as often as it takes."""
        self._latest = self._card.challenge(8 if count <= 8 else 16)
        made = self._latest
        while len(made) < count:
            self._latest = self._card.challenge(16)
            made += self._latest
        return made[:count]

    def block(self, key: str, data: bytes) -> bytes:
        """INTERNAL AUTHENTICATE, or for enc-N DERIVE."""
        kind, slot, *way = key.split("-")
        if kind == "enc":
            return self._card.derive(int(slot), data)
        if kind == "aes":
            raise _cannot()
        with _reflection():
            return self._card.internal(_PURPOSES[way[0]], int(slot), data)

    def verify(self, key: str, challenge: bytes, response: bytes) -> None:
        """EXTERNAL AUTHENTICATE, or a comparison with what the card itself would answer."""
        _, slot, way = key.split("-")
        if challenge == self._latest:
            self._latest = None
            try:
                self._card.external(_PURPOSES[way], int(slot), response)
                return
            except CardError as error:
                if error.status != _CONDITIONS:
                    raise
        if not hmac.compare_digest(self._card.internal(_PURPOSES[way], int(slot), challenge), response):
            raise KeyServiceError(Code.KEYS_ISCL_REFUSED, "")

    def token_ab(self, key: str, challenge: bytes, peer: bytes) -> tuple[bytes, bytes]:
        """INTERNAL AUTHENTICATE with P1 = 01."""
        with _reflection():
            return self._card.token_ab(_tokens(key, "c2s"), challenge, peer)

    def token_ba(self, key: str, key_ab: str, challenge: bytes, own: bytes, token: bytes) -> bytes:
        """EXTERNAL AUTHENTICATE with P1 = 01. Both keys are of one slot."""
        slot = _tokens(key, "s2c")
        if slot != _tokens(key_ab, "c2s"):
            raise KeyServiceError(Code.KEYS_TOKEN_REFUSED, "the card takes both keys of a token from one slot")
        return self._card.token_ba(slot, challenge, own, token)

    def check_ba(self, key: str, nonce: bytes, challenge: bytes, token: bytes) -> None:
        """EXTERNAL AUTHENTICATE with P1 = 02."""
        self._card.check_token_ba(_tokens(key, "s2c"), nonce, challenge, token)

    def cbc(self, key: str, vector: bytes, data: bytes, encrypt: bool) -> bytes:
        """Not on the card."""
        raise _cannot()

    def cmac(self, key: str, data: bytes) -> bytes:
        """Not on the card."""
        raise _cannot()

    def check_master(self, key: str) -> None:
        """Keys of the card have one purpose: no session key comes from a key that answers challenges."""
        if not key.startswith("enc-"):
            raise KeyServiceError(Code.KEYS_TOKEN_REFUSED, f"{key} as master: a card takes enc-N (r1.master_to_server, master_to_client)")

    def refuse_equal(self, key: str) -> None:
        """The card refused that when the key was loaded."""


@contextmanager
def _reflection() -> Iterator[None]:
    """What the card says to a challenge of the right length: it is the one that it drew last."""
    try:
        yield
    except CardError as error:
        if error.status != _WRONG_DATA:
            raise
        raise KeyServiceError(Code.KEYS_ISCL_REFLECTED, "the card drew this challenge itself") from error


def _tokens(key: str, way: str) -> int:
    """Return the slot of aes-auth-N-WAY: the card itself knows which way a token travels."""
    _, _, slot, given = key.split("-")
    if given != way:
        raise KeyServiceError(Code.KEYS_TOKEN_REFUSED, f"the card makes and judges this token with aes-auth-{slot}-{way}")
    return int(slot)


def _cannot() -> KeyServiceError:
    return KeyServiceError(Code.KEYS_TOKEN_REFUSED, "the card's ISCL application does not do that")


class CardHolder:
    """One configured card. What `wardkeys.holder.Holder` is to a PKCS#11 token; methods that touch the card need `turn`."""

    def __init__(self, config: TokenConfig, latch: Latch, log: Log) -> None:
        self.config = config
        self.turn = threading.Lock()
        self.report = Report(config.name)
        self.refusal: tuple[Code, str] | None = None
        self.kept: dict[tuple[int, bytes], bytes] = {}
        self.pairs: frozenset[str] = frozenset()
        self.changed: Callable[[], None] = lambda: None
        self.log = log
        self._latch = latch
        self._pcsc: Pcsc | None = None
        self._connection: Connection | None = None
        self._card: IsclCard | None = None
        self._keys: CardKeys | None = None

    def use(self, operation: Callable[[], list[bytes]]) -> list[bytes]:
        """Do it in a transaction. Raises `KeyServiceError`."""
        if self._connection is None or self._card is None:
            code, detail = self.refusal or (Code.KEYS_TOKEN_ABSENT, "")
            raise KeyServiceError(code, detail)
        try:
            with self._connection.transaction():
                self._card.select()
                if not self._card.verified():  # reset by somebody else, or lost with its power
                    state, detail, tries = self._verified(self._card)
                    if state is not State.PRESENT:
                        self._set(state, detail, tries=tries)
                        self._drop()
                        raise KeyServiceError(CODES[state], detail)
                return operation()
        except CardError as error:
            if error.code in _GONE:
                self._drop()
                self._set(State.ABSENT, "taken out")
            raise KeyServiceError(_MEANINGS.get(error.code, error.code), error.detail) from error

    def iscl_keys(self, uri: Uri) -> CardKeys:
        """Return the card's keys, if it is the card that the URI names. Raises `KeyServiceError`."""
        there = self.report
        if self._keys is None or not uri.fits_token(there.label, there.serial, there.model, ""):
            raise KeyServiceError(Code.KEYS_TOKEN_WRONG, f"{there.label} {there.serial} is there")
        return self._keys

    def look(self) -> None:
        """Is the card there? Another one?"""
        try:
            if self._pcsc is None:
                self._pcsc = Pcsc()
            readers = [one for one in self._pcsc.look() if one.present and (self.config.wanted.reader or "") in one.name]
            if self._connection is not None and self._connection.reader not in [one.name for one in readers]:
                self._drop()
            if self._connection is None:
                self._search(self._pcsc, [one.name for one in readers])
        except CardError as error:
            self._drop()
            if self._pcsc is not None:
                self._pcsc.close()
                self._pcsc = None
            self._set(State.ABSENT if error.code in _GONE else State.FAILED, f"{error.code} {error.detail}")

    def reload(self) -> None:
        """The operator says that the PIN file may be another one now."""
        if self._latch.reload() and self._connection is None:
            self.look()

    def close(self) -> None:
        """Let go of the card and of PC/SC."""
        self._drop()
        if self._pcsc is not None:
            self._pcsc.close()
            self._pcsc = None

    def _drop(self) -> None:
        connection, self._connection, self._card, self._keys = self._connection, None, None, None
        self.pairs = frozenset()
        if connection is not None:
            connection.disconnect(reset=False)

    def _search(self, pcsc: Pcsc, readers: list[str]) -> None:
        wrong = ""
        for reader in readers:
            connection = pcsc.connect(reader)
            kept = False
            try:
                with connection.transaction():
                    card = IsclCard(Channel(connection.transmit))
                    card.select()
                    serial = card.serial.hex()
                    if not _fits(self.config.wanted, card.label, serial):
                        wrong = wrong or f"{card.label} {serial} is there"
                        continue
                    state, detail, tries = self._verified(card)
                    kept = state is State.PRESENT
                    if kept:
                        self._connection, self._card, self._keys = connection, card, CardKeys(card)
                    self._set(state, detail, card.label, serial, tries)
                    return
            except CardError as error:
                if error.code is not Code.CARD_NO_APPLICATION:
                    raise
                wrong = wrong or f"a card without ISCL is in {reader}"
            finally:
                if not kept:
                    connection.disconnect(reset=False)
        self._set(State.WRONG if wrong else State.ABSENT, wrong or "no card in its reader")

    def _verified(self, card: IsclCard) -> tuple[State, str, int | None]:
        """Verify the PIN, unless it was refused before."""
        if self.config.pin_file is None or card.verified():
            return State.PRESENT, "", None
        serial = card.serial.hex()
        with self._latch.turn(serial) as closed:
            if closed:
                return State.PIN_REFUSED, closed, self.report.tries
            return self._tried(card, serial, self.config.pin_file)

    def _tried(self, card: IsclCard, serial: str, pin_file: str) -> tuple[State, str, int | None]:
        if not self.config.use_last_try and card.tries() == 1:
            return State.PIN_REFUSED, "one try is left; it is not used without unsafe_use_last_try", 1
        try:
            with Pin(pin_file) as (buffer, length):
                card.verify(buffer.raw[:length])
        except KeyServiceError as error:
            return State.FAILED, f"{error.code} {error.detail}", None
        except CardError as error:
            if error.code is Code.CARD_BLOCKED:
                return State.BLOCKED, "no try of the PIN is left", 0
            if error.code is not Code.CARD_PIN_WRONG:
                raise
            try:
                self._latch.close(serial)
            except KeyServiceError as unsafe:
                self.log.event(unsafe.code, token=self.config.name, detail=unsafe.detail)
            return State.PIN_REFUSED, "the card refused the PIN", error.tries
        return State.PRESENT, "", None

    def _set(self, state: State, detail: str, label: str = "", serial: str = "", tries: int | None = None) -> None:
        old = self.report
        new = Report(old.name, state, label, serial, "ISCL", tries, detail, old.changes)
        if (old.changes and new._replace(detail="") == old._replace(detail="") and state is not State.FAILED) or new == old:
            return
        if not old.changes or (state, label, serial) != (old.state, old.label, old.serial):
            new = new._replace(changes=old.changes + 1)
            self.log.event(CODES[state], token=self.config.name, label=label, serial=serial, detail=detail)
        self.refusal = None if state is State.PRESENT else (CODES[state], detail)
        self.report = new
        self.changed()


def _fits(wanted: Wanted, label: str, serial: str) -> bool:
    return wanted.label in (None, label) and wanted.serial in (None, serial)
