"""The receiver: the peer's transmission request, random number, data, MAC. A message comes out when its MAC was right."""

from __future__ import annotations

from wardgate.iscl.bodies import Message
from wardgate.iscl.deskeys import is_weak, odd_parity
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.keys import MessageKeys, expand
from wardgate.iscl.line import Line, Wait
from wardgate.iscl.opening import Opener
from wardgate.iscl.reconstruction import Derivation
from wardgate.iscl.sending import RANDOM_BYTES
from wardgate.iscl.table import Receiving
from wardgate.iscl.terms import ACK, NAK, SESSION_KEY, Mac, MessageId
from wardgate.iscl.tokens import MessageKey, Result


class Receiver:
    """Follows one message of the peer at a time."""

    def __init__(self, line: Line, opener: Opener) -> None:
        self.line = line
        self.opener = opener
        self.state = Receiving.IDLE
        self.messages: list[memoryview] = []  # whole and proven
        self._length = 0
        self._request = b""
        self._random = b""
        self._static: bytes | None = None
        self.hold = False  # take no further message for now: its announcement is answered later

    def request(self, message: Message) -> None:
        """A message is announced: is it protected as configured, and not too long?"""
        line, settings = self.line, self.line.settings
        self._length = message.number("length")
        found = (message.number("encryption"), message.number("key_id"), message.number("mac"))
        if found != (settings.encryption, settings.key_id, settings.mac):
            self._refuse(Condition.BAD_SECURITY_MODE, "encryption {:08x}, key {}, MAC {:08x}".format(*found))
        if not self._length:
            self._refuse(Condition.BAD_LENGTH, "an empty message")
        if self._length > settings.max_message:
            self._refuse(Condition.LOCAL_LENGTH_TOO_SMALL, f"{self._length} of {settings.max_message} bytes")
        if settings.key_id != SESSION_KEY and self.opener.cipher_blocks > settings.hard_blocks:
            self._refuse(Condition.KEY_WORN, "")
        self._request = line.codec.encode(
            MessageId.TRANSMISSION_REQUEST,
            encryption=settings.encryption, key_id=settings.key_id, mac=settings.mac, length=self._length,
        )[-16:]  # fmt: skip
        self.state = Receiving.HELD
        self.go_on()

    def go_on(self) -> None:
        """Answer a message that was held, if it may come now."""
        if self.state is not Receiving.HELD or self.hold:
            return
        line, settings = self.line, self.line.settings
        line.wait(Wait.BLOCK, settings.timers.block)
        if settings.key_id == SESSION_KEY:
            line.send(MessageId.TRANSMISSION_RESPONSE, status=ACK, length=self._length)
            self.state = Receiving.RANDOM
        elif self._static is None:
            self.state = Receiving.KEY
            line.ask(self._static_came, MessageKey(settings.slot, line.theirs, settings.key_id, b""))
        else:
            self._static_came(((b"", self._static),))

    def _static_came(self, results: tuple[Result, ...]) -> None:
        key = self._key(results)
        if is_weak(key):
            raise IsclError(Condition.LOCAL_CARD, "a weak DES key")
        self._static = key
        self.line.send(MessageId.TRANSMISSION_RESPONSE, status=ACK, length=self._length)
        self._start(MessageKeys(key, key, self.line.their_challenge[:RANDOM_BYTES]))

    def random_request(self, message: Message) -> None:
        """The random number of the message's key."""
        line, settings = self.line, self.line.settings
        if message.option:
            raise IsclError(Condition.REMOTE_CARD, f"random number, card result {message.option:08x}")
        self._random = message.octets("random")
        line.wait(Wait.BLOCK, settings.timers.block)
        if settings.derived:
            keys = expand(line.connection_keys[line.theirs], settings.encryption, settings.mac, self._random, self._request)
            if keys is None:
                self._weak()
            else:
                self._random_taken(keys)
        elif settings.r1.derivation is Derivation.CLEAR:
            self._keyed(odd_parity(self._random))
        else:
            self.state = Receiving.KEY
            master = settings.r1.master(line.theirs)
            line.ask(self._key_came, MessageKey(settings.slot, line.theirs, settings.key_id, self._random, master))

    def _key_came(self, results: tuple[Result, ...]) -> None:
        self._keyed(self._key(results))

    def _keyed(self, key: bytes) -> None:
        if is_weak(key):  # the sender has to draw again
            self._weak()
        self._random_taken(MessageKeys(key, key, self._random))

    def _weak(self) -> None:
        refusal = self.line.codec.encode(MessageId.RANDOM_RESPONSE, status=NAK)
        raise IsclError(Condition.SECURITY_BREACH, "a weak session key", refusal)

    def _random_taken(self, keys: MessageKeys) -> None:
        self.line.send(MessageId.RANDOM_RESPONSE, status=ACK)
        self._start(keys)

    def _start(self, keys: MessageKeys) -> None:
        self.opener.start(self._length, keys, self.line.block_length)
        self.state = Receiving.DATA

    def data(self, header: memoryview, body: memoryview) -> bool:
        """A data block. True: the message is whole and no MAC is to come."""
        self.line.wait(Wait.BLOCK, self.line.settings.timers.block)
        if not self.opener.block(header, body):
            return False
        if self.line.settings.mac is not Mac.INTEGRATED:
            self.state = Receiving.MAC
            return False
        self._whole(self.opener.message())
        return True

    def mac(self, message: Message) -> None:
        """The MAC of the message."""
        self._whole(self.opener.finish(message.option, message.octets("mac")))

    def _whole(self, message: memoryview) -> None:
        self.messages.append(message)
        self.line.came(Wait.BLOCK)
        self.state = Receiving.IDLE

    def token_failed(self, detail: str) -> IsclError:
        """Return the error for a token that failed, with the answer that is due."""
        codec = self.line.codec
        if self._static is None and self.line.settings.key_id != SESSION_KEY:
            return IsclError(Condition.LOCAL_CARD, detail, codec.encode(MessageId.TRANSMISSION_RESPONSE, status=NAK, length=self._length))
        return IsclError(Condition.LOCAL_CARD, detail, codec.encode(MessageId.RANDOM_RESPONSE, status=NAK))

    def _key(self, results: tuple[Result, ...]) -> bytes:
        result = results[0]
        if not isinstance(result, tuple) or len(result[1]) != 8:
            raise IsclError(Condition.LOCAL_CARD, "the token gave no message key")
        return result[1]

    def _refuse(self, condition: Condition, detail: str) -> None:
        refusal = self.line.codec.encode(MessageId.TRANSMISSION_RESPONSE, status=NAK, length=self._length)
        raise IsclError(condition, detail, refusal)
