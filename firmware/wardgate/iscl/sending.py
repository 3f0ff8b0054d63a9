"""The sender: transmission request, random number, data, MAC; one message after the other."""

from __future__ import annotations

from collections import deque
from typing import Final

from wardgate.iscl.bodies import Message
from wardgate.iscl.deskeys import is_weak, odd_parity
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.keys import MessageKeys, expand
from wardgate.iscl.line import Line, Wait
from wardgate.iscl.reconstruction import Derivation
from wardgate.iscl.sealing import Sealer
from wardgate.iscl.settings import WARN_BLOCKS
from wardgate.iscl.table import Sending
from wardgate.iscl.terms import ACK, SESSION_KEY, MessageId
from wardgate.iscl.tokens import MessageKey, Result

_DRAWS: Final = 8  # a token that gives weak keys so often is broken
RANDOM_BYTES: Final = 8


class Sender:
    """`begin` a message when one waits; `response` and `random_response` are the peer's part in it."""

    def __init__(self, line: Line, sealer: Sealer) -> None:
        self.line = line
        self.sealer = sealer
        self.state = Sending.IDLE
        self.born = line.now
        self.warned = False
        self.queued_bytes = 0
        self._queue: deque[tuple[bytearray | memoryview, int]] = deque()
        self._stock: MessageKeys | None = None  # a card takes its time: one key is made ahead
        self._asked = False
        self._draws = 0
        self._keys: MessageKeys | None = None  # of the message under way
        self._length = 0

    @property
    def busy(self) -> bool:
        """Does a message wait or pass?"""
        return bool(self._queue) or self.state is not Sending.IDLE

    def put(self, data: bytes | bytearray | memoryview) -> None:
        """Queue `data`, split where it is longer than a message may be. Copies it."""
        view = memoryview(data)
        longest = self.line.settings.max_message
        for start in range(0, len(view), longest):
            piece = view[start : start + longest]
            self._queue.append((self.sealer.laid_out(piece, self.line.block_length), len(piece)))
            self.queued_bytes += len(piece)

    def begin(self) -> None:
        """Announce the next message, if there is one and its key is there."""
        if self.state is Sending.IDLE and self._queue:
            self.state = Sending.KEY
        if self.state is not Sending.KEY:
            return
        line, settings = self.line, self.line.settings
        if line.now > self.born + settings.timers.life:
            raise IsclError(Condition.LIFE_OVER)
        self._worn()
        if self._stock is None and not settings.derived:
            self.stock_up()
            if self._stock is None:
                return
        self._length = self._queue[0][1]
        line.send(
            MessageId.TRANSMISSION_REQUEST,
            encryption=settings.encryption, key_id=settings.key_id, mac=settings.mac, length=self._length,
        )  # fmt: skip
        if settings.derived:
            self._keys = self._expanded(bytes(line.output[-1])[-16:])
        else:
            self._keys = self._stock
            if settings.key_id == SESSION_KEY:
                self._stock = None
        self.state = Sending.RESPONSE
        line.wait(Wait.ANSWER, settings.timers.block)

    def response(self, message: Message) -> None:
        """The peer is ready for the message, or is not."""
        status, length = message.number("status"), message.number("length")
        if status != ACK:
            raise IsclError(Condition.NAK_RECEIVED, "transmission response")
        if length != self._length:
            smaller = length < self._length
            raise IsclError(Condition.PEER_LENGTH_TOO_SMALL if smaller else Condition.BAD_LENGTH, f"{length} of {self._length} bytes")
        assert self._keys is not None
        if self.line.settings.key_id == SESSION_KEY:
            self.line.send(MessageId.RANDOM_REQUEST, random=self._keys.random)
            self.state = Sending.RANDOM
            self.line.wait(Wait.ANSWER, self.line.settings.timers.block)
        else:
            self._emit()

    def random_response(self, message: Message) -> None:
        """The peer has made the key too."""
        if message.number("status") != ACK:
            raise IsclError(Condition.REMOTE_CARD, "random number response")
        self._emit()

    def yield_turn(self) -> None:
        """Half duplex, the client's message goes first: ours is announced again afterwards, under its key."""
        self.line.came(Wait.ANSWER)
        if not self.line.settings.derived:
            self._stock = self._keys
        self.state = Sending.KEY

    def _emit(self) -> None:
        line = self.line
        line.came(Wait.ANSWER)
        buffer, length = self._queue.popleft()
        self.queued_bytes -= length
        assert self._keys is not None
        line.output += self.sealer.seal(buffer, length, self._keys, line.block_length)
        self._keys = None
        self.state = Sending.IDLE

    # --- keys

    def stock_up(self) -> None:
        """Have a key made for the next message."""
        line, settings = self.line, self.line.settings
        if self._stock is not None or self._asked or settings.derived:
            return
        if settings.r1.derivation is Derivation.CLEAR and settings.key_id == SESSION_KEY:
            self._take(line.primitives.random(RANDOM_BYTES), b"")
            return
        self._asked = True
        line.ask(self._made, MessageKey(settings.slot, line.mine, settings.key_id, None, settings.r1.master(line.mine)))

    def _made(self, results: tuple[Result, ...]) -> None:
        self._asked = False
        result = results[0]
        if not isinstance(result, tuple) or len(result[1]) != 8:
            raise IsclError(Condition.LOCAL_CARD, "the token gave no message key")
        self._take(*result)
        if self._stock is None:
            self.stock_up()

    def _take(self, random: bytes, key: bytes) -> None:
        key = key or odd_parity(random)
        if is_weak(key):
            self._draws += 1
            if self._draws > _DRAWS or self.line.settings.key_id != SESSION_KEY:
                raise IsclError(Condition.LOCAL_CARD, "a weak DES key")
            return
        self._draws = 0
        self._stock = MessageKeys(key, key, random or self.line.my_challenge[:RANDOM_BYTES])

    def _expanded(self, request: bytes) -> MessageKeys:
        line, settings = self.line, self.line.settings
        for _ in range(_DRAWS):
            random = line.primitives.random(RANDOM_BYTES)
            keys = expand(line.connection_keys[line.mine], settings.encryption, settings.mac, random, request)
            if keys is not None:
                return keys
        raise IsclError(Condition.LOCAL_CARD, "weak DES keys")

    def _worn(self) -> None:
        if self.line.settings.key_id == SESSION_KEY:
            return
        if self.sealer.cipher_blocks > self.line.settings.hard_blocks:
            raise IsclError(Condition.KEY_WORN)
        self.warned = self.warned or self.sealer.cipher_blocks > WARN_BLOCKS
