"""The ISCL application from the host's side: challenge, responses, session keys, loading of keys. Layouts: docs/card.md."""

from __future__ import annotations

import os
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from wardgate.codes import Code
from wardkeys.card.channel import Channel, refused
from wardkeys.card.errors import CardError
from wardkeys.card.management import ManagementKey
from wardkeys.card.piv import PIN, Piv
from wardkeys.card.tlv import find

AID: Final = b"\xf0WARDISCL\x01"
SLOTS: Final = 8
NONCE_BYTES: Final = 16
_SELECT, _VERIFY, _CHALLENGE, _INTERNAL, _EXTERNAL = 0xA4, 0x20, 0x84, 0x88, 0x82
_DERIVE, _PUT_KEY, _DELETE_KEY, _LIST, _UNBLOCK = 0x8A, 0xD8, 0xE4, 0xCA, 0x2C
_PROPRIETARY: Final = 0x80
_MAX_DRAWS: Final = 16
_MAX_NAME: Final = 128


class Purpose(Enum):
    """What a key is for; the value is the reference of slot 0, so to say."""

    TO_CLIENT = 0x80  # answers that travel from server to client
    TO_SERVER = 0x88
    ENCRYPTION = 0x90


class Kind(IntEnum):
    """Kinds of key."""

    DES = 0x01
    DES3 = 0x02
    AES128 = 0x03
    AES256 = 0x04


KEY_BYTES: Final = {Kind.DES: 8, Kind.DES3: 24, Kind.AES128: 16, Kind.AES256: 32}


class KeyRow(NamedTuple):
    """One key that the card has. `limit` 0: EXTERNAL AUTHENTICATE never blocks it."""

    purpose: Purpose
    slot: int
    kind: Kind
    tries: int
    limit: int


def reference(purpose: Purpose, slot: int) -> int:
    """Return the key reference of slot 1 to 8. Raises `CardError` (CARD_INPUT)."""
    if not 1 <= slot <= SLOTS:
        raise CardError(Code.CARD_INPUT, "slots are numbered 1 to 8")
    return int(purpose.value) + slot


class IsclCard:
    """Commands of the ISCL application; `select` comes first. Every method raises `CardError`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.label = ""
        self.serial = b""

    def select(self) -> None:
        """Select the application and read label and serial number; CARD_NO_APPLICATION where the card has none."""
        answer, status = self._channel.exchange(_SELECT, 0x04, 0x00, AID)
        if status != 0x9000:
            raise CardError(Code.CARD_NO_APPLICATION, f"ISCL, status {status:04X}", status=status)
        self.label = find(answer, 0x6F, 0xA5, 0x50).decode("utf-8", "replace")
        self.serial = find(answer, 0x6F, 0xA5, 0x5A)

    def verify(self, pin: bytes) -> None:
        """Verify the card's PIN for this application. CARD_PIN_WRONG with the tries left, CARD_BLOCKED; never tried twice here."""
        Piv(self._channel).verify(pin)

    def verified(self) -> bool:
        """Tell whether the PIN is verified."""
        return self._channel.exchange(_VERIFY, 0x00, PIN, le=None)[1] == 0x9000

    def tries(self) -> int | None:
        """Return how many tries of the PIN are left, None where it is verified already or the card does not say."""
        return Piv(self._channel).tries()

    # Profile R1 (docs/iscl.md 7.3)

    def challenge(self, length: int = 8) -> bytes:
        """Draw a challenge, 8 or 16 bytes, that the next `external` is about."""
        answer = self._channel.command(_CHALLENGE, 0x00, 0x00, le=length)
        if len(answer) != length:
            raise CardError(Code.CARD_ANSWER, "a challenge of the wrong length")
        return answer

    def internal(self, purpose: Purpose, slot: int, challenge: bytes) -> bytes:
        """Answer the peer's challenge: E(K, challenge)."""
        return self._channel.command(_INTERNAL, 0x00, reference(purpose, slot), challenge)

    def external(self, purpose: Purpose, slot: int, response: bytes) -> None:
        """Judge the peer's answer to our challenge. CARD_PEER_REFUSED where it is wrong, CARD_KEY_BLOCKED where too many were."""
        self._judge(self._channel.exchange(_EXTERNAL, 0x00, reference(purpose, slot), response, le=None)[1])

    def session_key(self, slot: int, kind: Kind = Kind.DES) -> tuple[bytes, bytes]:
        """Draw a random number and return it with the session key that both sides derive from it: (RND, key)."""
        for _ in range(_MAX_DRAWS):
            random = os.urandom(KEY_BYTES[kind])
            try:
                return random, self.derive(slot, random)
            except CardError as error:
                if error.code is not Code.CARD_WEAK_KEY:
                    raise
        raise CardError(Code.CARD_WEAK_KEY, "again and again")

    def derive(self, slot: int, random: bytes) -> bytes:
        """Return the session key of the peer's random number. CARD_WEAK_KEY where it came out weak: the sender draws again."""
        answer, status = self._channel.exchange(_DERIVE, 0x00, reference(Purpose.ENCRYPTION, slot), random, cla=_PROPRIETARY)
        if status == 0x6A80:
            raise CardError(Code.CARD_WEAK_KEY, status=status)
        if status != 0x9000:
            raise refused(status)
        return answer

    # Extension 0x80000001: ISO/IEC 9798-2 mechanism 4, AES. B is the server and begins. Names have 1 to 128 bytes.

    def token_ab(self, slot: int, challenge: bytes, name: bytes) -> tuple[bytes, bytes]:
        """Client: return (TokenAB, own nonce) for the server's 16-byte challenge and its name."""
        answer = self._channel.command(_INTERNAL, 0x01, reference(Purpose.TO_CLIENT, slot), challenge + name)
        if len(answer) <= NONCE_BYTES:
            raise CardError(Code.CARD_ANSWER, "a token that is cut short")
        return answer[NONCE_BYTES:], answer[:NONCE_BYTES]

    def token_ba(self, slot: int, challenge: bytes, name: bytes, token: bytes) -> bytes:
        """Server: judge TokenAB against our challenge and our name, return TokenBA. CARD_PEER_REFUSED."""
        if not 0 < len(name) <= _MAX_NAME:
            raise CardError(Code.CARD_INPUT, f"a name has 1 to {_MAX_NAME} bytes")
        data = challenge + bytes((len(name),)) + name + token
        answer, status = self._channel.exchange(_EXTERNAL, 0x01, reference(Purpose.TO_CLIENT, slot), data)
        self._judge_token(status)
        return answer

    def check_token_ba(self, slot: int, nonce: bytes, challenge: bytes, token: bytes) -> None:
        """Client: judge TokenBA against our nonce and the server's challenge. CARD_PEER_REFUSED."""
        data = nonce + challenge + token
        self._judge_token(self._channel.exchange(_EXTERNAL, 0x02, reference(Purpose.TO_CLIENT, slot), data, le=None)[1])

    # Administration

    def authenticate(self, key: ManagementKey) -> None:
        """Authenticate with the card's management key for this application."""
        Piv(self._channel).authenticate(key)

    def put_key(self, purpose: Purpose, slot: int, kind: Kind, key: bytes, *, tries: int = 0, unsafe_same_pair: bool = False) -> bytes:
        """Load a key, return its check value (three bytes of E(K, 0)). CARD_INPUT where the card refuses the key."""
        data = bytes((kind, tries)) + key
        p1 = 0x01 if unsafe_same_pair else 0x00
        answer, status = self._channel.exchange(_PUT_KEY, p1, reference(purpose, slot), data, cla=_PROPRIETARY)
        if status == 0x6A80:
            raise CardError(Code.CARD_INPUT, "the key has the wrong length, is weak, or is in another slot already", status=status)
        if status != 0x9000:
            raise refused(status)
        return answer

    def delete_key(self, purpose: Purpose, slot: int) -> None:
        """Remove a key."""
        self._channel.command(_DELETE_KEY, 0x00, reference(purpose, slot), le=None, cla=_PROPRIETARY)

    def reset_key(self, purpose: Purpose, slot: int) -> None:
        """Give a key all its tries again."""
        self._channel.command(_UNBLOCK, 0x03, reference(purpose, slot), le=None)

    def loaded(self) -> list[KeyRow]:
        """Return the keys that the card has; never their values."""
        answer = self._channel.command(_LIST, 0x00, 0x00, cla=_PROPRIETARY)
        if len(answer) % 4:
            raise CardError(Code.CARD_ANSWER, "a list of keys that is cut short")
        return [_row(answer[at : at + 4]) for at in range(0, len(answer), 4)]

    def _judge_token(self, status: int) -> None:
        self._judge(0x6300 if status == 0x6A80 else status)  # a length that no token has: the peer's fault

    @staticmethod
    def _judge(status: int) -> None:
        if status == 0x9000:
            return
        if status == 0x6300 or status & 0xFFF0 == 0x63C0:
            raise CardError(Code.CARD_PEER_REFUSED, status=status, tries=status & 0x0F if status & 0xF0 else None)
        if status == 0x6983:
            raise CardError(Code.CARD_KEY_BLOCKED, status=status)
        raise refused(status)


def _row(row: bytes) -> KeyRow:
    try:
        purpose = Purpose((row[0] - 1) & 0xF8)
        return KeyRow(purpose, row[0] - int(purpose.value), Kind(row[1]), row[2], row[3])
    except ValueError as error:
        raise CardError(Code.CARD_ANSWER, "a key of a kind that this version does not know") from error
