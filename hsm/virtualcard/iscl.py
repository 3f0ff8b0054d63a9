"""The ISCL application: eight authentication slots of two keys, eight encryption slots; docs/card.md has the layouts.

Responses are those of reconstruction profile R1 (docs/iscl.md 7.3): E(K, challenge), single DES. The extension 0x80000001
has the tokens of ISO/IEC 9798-2 mechanism 4 under AES, sealed as the key service seals them (docs/keys.md). Keys come in by PUT KEY and
never come out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from virtualcard import admin, blockcipher, tlv, tokens
from virtualcard.apdu import Command, Refusal, Status
from virtualcard.blockcipher import KEY_BYTES, Kind
from virtualcard.session import Session
from virtualcard.state import SymmetricKey
from virtualcard.tokens import NONCE

AID: Final = b"\xf0WARDISCL\x01"
SLOTS: Final = 8
TO_CLIENT: Final = range(0x81, 0x89)  # authentication key of slot n, server to client
TO_SERVER: Final = range(0x89, 0x91)  # authentication key of slot n, client to server
ENCRYPTION: Final = range(0x91, 0x99)
REFERENCES: Final = range(0x81, 0x99)
_AES: Final = (Kind.AES128, Kind.AES256)
_PAIR: Final = TO_SERVER[0] - TO_CLIENT[0]  # from one key of a slot to the other
_MAX_NAME: Final = 128
_LAB: Final = 0x01  # P1 of PUT KEY: both keys of a pair may be the same


class Iscl:
    """Answers the commands of the ISCL application."""

    aid = AID
    shortest_aid = len(AID) - 1  # without the version

    def __init__(self, session: Session) -> None:
        self._session = session
        self.commands = {0x84: self._challenge, 0x88: self._internal, 0x82: self._external, 0x87: self._authenticate}
        self.proprietary = {0x8A: self._derive, 0xD8: self._put_key, 0xE4: self._delete_key, 0xCA: self._list}

    def selected(self) -> bytes:
        """Return the file control information: AID, label, serial number."""
        state = self._session.state
        own = tlv.encode(0x50, state.label.encode()) + tlv.encode(0x5A, state.serial)
        return tlv.encode(0x6F, tlv.encode(0x84, self.aid) + tlv.encode(0xA5, own))

    def _challenge(self, command: Command) -> bytes:
        if command.p1p2 or command.data:
            raise Refusal(Status.WRONG_P1P2)
        length = command.le if command.le in (8, NONCE) else 8
        return self._session.draw(length, "iscl")

    def _internal(self, command: Command) -> bytes:
        if command.p1 == 0x01:
            return self._token_ab(command)
        key = self._answering(command)
        if len(command.data) != blockcipher.block_bytes(key.kind) or command.data == self._session.challenge:
            raise Refusal(Status.WRONG_DATA)  # our own challenge back: reflection
        return blockcipher.ecb(key.kind, key.value, command.data)

    def _external(self, command: Command) -> bytes:
        if command.p1 == 0x01:
            return self._token_ba(command)
        if command.p1 == 0x02:
            return self._check_token_ba(command)
        key = self._answering(command)
        if len(command.data) != blockcipher.block_bytes(key.kind):
            raise Refusal(Status.WRONG_DATA)
        challenge = self._session.take_challenge("iscl")
        if len(challenge) != blockcipher.block_bytes(key.kind):
            raise Refusal(Status.CONDITIONS)
        self._compare(command.p2, blockcipher.ecb(key.kind, key.value, challenge), command.data)
        return b""

    def _derive(self, command: Command) -> bytes:
        """Return a session key: E(K, RND), odd parity where it is for DES. A weak one is refused (6A80): draw again."""
        key = self._key(command, 0x00, ENCRYPTION)
        if len(command.data) != KEY_BYTES[Kind(key.kind)]:
            raise Refusal(Status.WRONG_DATA)
        made = blockcipher.ecb(key.kind, key.value, command.data)
        if key.kind in _AES:
            return made
        if blockcipher.is_weak(key.kind, made):
            raise Refusal(Status.WRONG_DATA)
        return blockcipher.odd_parity(made)

    # ISO/IEC 9798-2 mechanism 4: B, the server, begins; A is the client. Layout of the tokens: `tokens`. The card keeps nothing between
    # the commands of one authentication: others may use it meanwhile. Which challenges are outstanding is the host's to know.

    def _token_ab(self, command: Command) -> bytes:
        key = self._key(command, 0x01, TO_CLIENT, _PAIR, aes=True)
        challenge, name = command.data[:NONCE], command.data[NONCE:]
        if len(challenge) < NONCE or not 0 < len(name) <= _MAX_NAME or challenge == self._session.challenge:
            raise Refusal(Status.WRONG_DATA)
        nonce = self._session.random(NONCE)
        return nonce + tokens.seal(key, nonce + challenge + name)

    def _token_ba(self, command: Command) -> bytes:
        theirs = self._key(command, 0x01, TO_CLIENT, _PAIR, aes=True)
        ours = self._key(command, 0x01, TO_CLIENT, aes=True)
        challenge, rest = command.data[:NONCE], command.data[NONCE:]
        if not rest or not 0 < rest[0] <= _MAX_NAME or len(rest) < 1 + rest[0] + tokens.SHORTEST:
            raise Refusal(Status.WRONG_DATA)
        name, token = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        plain = self._opened(command.p2 + _PAIR, theirs, token, lambda plain: plain[NONCE:] == challenge + name)
        return tokens.seal(ours, challenge + plain[:NONCE])

    def _check_token_ba(self, command: Command) -> bytes:
        key = self._key(command, 0x02, TO_CLIENT, aes=True)
        nonce, challenge, token = command.data[:NONCE], command.data[NONCE : 2 * NONCE], command.data[2 * NONCE :]
        if len(token) < tokens.SHORTEST:
            raise Refusal(Status.WRONG_DATA)
        self._opened(command.p2, key, token, lambda plain: plain == challenge + nonce)
        return b""

    def _opened(self, reference: int, key: SymmetricKey, token: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Return what the token holds, where its MAC is right and `fits` says so; a wrong one costs a try of the key."""
        sealed, mac = tokens.split(token)
        plain = b""

        def judge() -> bool:
            nonlocal plain
            if not hmac.compare_digest(tokens.mac(key, sealed), mac):
                return False
            plain = tokens.opened(key, sealed)
            return fits(plain)

        self._session.judge(lambda state: state.iscl[reference], judge)
        return plain

    # Administration

    def _authenticate(self, command: Command) -> bytes:
        if command.p2 != admin.REFERENCE:
            raise Refusal(Status.NO_KEY)
        return admin.authenticate(self._session, command, admin.general(command))

    def _put_key(self, command: Command) -> bytes:
        """Kind, tries, key; the answer is the check value, the first three bytes of E(K, 0)."""
        self._session.need_admin()
        if command.p1 not in (0x00, _LAB) or command.p2 not in REFERENCES:
            raise Refusal(Status.WRONG_P1P2)
        data = command.data
        if len(data) < 2 or data[0] not in KEY_BYTES or len(data) - 2 != KEY_BYTES[Kind(data[0])] or data[1] > 15:
            raise Refusal(Status.WRONG_DATA)
        key = SymmetricKey(data[0], data[2:], data[1], data[1])
        if blockcipher.is_weak(key.kind, key.value) or (command.p1 != _LAB and self._twin(command.p2, key)):
            raise Refusal(Status.WRONG_DATA)
        with self._session.change() as changed:
            changed.iscl[command.p2] = key
        return blockcipher.ecb(key.kind, key.value, bytes(blockcipher.block_bytes(key.kind)))[:3]

    def _twin(self, reference: int, key: SymmetricKey) -> bool:
        """Tell whether another slot has this key: one key for two purposes lets one answer for the other."""
        return any(
            ref != reference and blockcipher.odd_parity(other.value) == blockcipher.odd_parity(key.value)
            for ref, other in self._session.state.iscl.items()
        )

    def _delete_key(self, command: Command) -> bytes:
        self._session.need_admin()
        if command.p1 or command.p2 not in REFERENCES:
            raise Refusal(Status.WRONG_P1P2)
        if command.p2 not in self._session.state.iscl:
            raise Refusal(Status.NO_KEY)
        with self._session.change() as changed:
            del changed.iscl[command.p2]
        return b""

    def reset_key(self, command: Command) -> bytes:
        """00 2C 03 reference: give a key all its tries again, under administrator authentication."""
        self._session.need_admin()
        if command.data or command.p2 not in self._session.state.iscl:
            raise Refusal(Status.NO_KEY)
        with self._session.change() as changed:
            changed.iscl[command.p2].tries = changed.iscl[command.p2].limit
        return b""

    def _list(self, command: Command) -> bytes:
        """Four bytes a key: reference, kind, tries left, tries at most."""
        if command.p1p2:
            raise Refusal(Status.WRONG_P1P2)
        return b"".join(bytes([ref, key.kind, key.tries, key.limit]) for ref, key in sorted(self._session.state.iscl.items()))

    def _key(self, command: Command, p1: int, allowed: range | tuple[int, ...], offset: int = 0, *, aes: bool = False) -> SymmetricKey:
        """Return the key `offset` above P2. Raises `Refusal`: 6A86, 6982 (PIN), 6A88, 6985 (a key for something else), 6983."""
        if command.p1 != p1 or command.p2 not in REFERENCES:
            raise Refusal(Status.WRONG_P1P2)
        self._session.need_pin()
        if command.p2 not in allowed:
            raise Refusal(Status.CONDITIONS)
        key = self._session.state.iscl.get(command.p2 + offset)
        if key is None:
            raise Refusal(Status.NO_KEY)
        if aes and key.kind not in _AES:
            raise Refusal(Status.CONDITIONS)
        if key.limit and not key.tries:
            raise Refusal(Status.BLOCKED)
        return key

    def _answering(self, command: Command) -> SymmetricKey:
        """Return an authentication key for bare challenges. AES keys make tokens only: E(K, chosen block) would give their MAC key away."""
        key = self._key(command, 0x00, (*TO_CLIENT, *TO_SERVER))
        if key.kind in _AES:
            raise Refusal(Status.CONDITIONS)
        return key

    def _compare(self, reference: int, expected: bytes, given: bytes) -> None:
        self._session.compare(lambda state: state.iscl[reference], expected, given)
