"""Takes the data blocks and the MAC of one message after the other; gives a message only when its MAC was right."""

from __future__ import annotations

import hmac

from wardgate.iscl.direction import Direction
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.keys import MessageKeys
from wardgate.iscl.padding import check, padded_length
from wardgate.iscl.primitives import Cbc, Gcm
from wardgate.iscl.reconstruction import Md5Order, OrderSign
from wardgate.iscl.room import ROOM
from wardgate.iscl.settings import block_step
from wardgate.iscl.terms import GCM_TAG_BYTES, MAC_BYTES, Encryption, Mac


class Opener(Direction):
    """The receiving direction."""

    _keys: MessageKeys
    _cbc: Cbc | None = None
    _gcm: Gcm | None = None

    def start(self, length: int, keys: MessageKeys, block_length: int) -> None:
        """A message of `length` plain bytes is about to come, under `keys`."""
        self.begin()
        settings = self.settings
        self._keys = keys
        self._length = length
        self._step = block_step(settings, block_length)
        self._view = ROOM.take(padded_length(length, self.unit, settings.r1.padding))
        self._filled = 0
        self._cbc = self._gcm = None
        if settings.encryption is Encryption.AES_256_GCM:
            self._gcm = self.primitives.gcm(keys.encryption)
        elif self.unit > 1:
            self._cbc = self.primitives.cbc(settings.encryption, keys.encryption, self.register.value, False)

    def block(self, header: bytes | memoryview, body: memoryview) -> bool:
        """Take one data block; true: it was the last. Raises `IsclError`."""
        size = len(body) - (GCM_TAG_BYTES if self._gcm is not None else 0)
        room = len(self._view) - self._filled
        # Blocks are as the sender likes, but none may be empty, too much, or end inside a cipher block.
        if size <= 0 or size > room or size % self.unit:
            raise IsclError(Condition.BAD_LENGTH, f"a data block of {len(body)} bytes, {room} are due")
        if size > self._step:
            raise IsclError(Condition.BAD_BLOCK_LENGTH, f"{len(body)} bytes")
        into = self._view[self._filled : self._filled + size]
        if self._cbc is not None:
            self._cbc.run(body, into)
            if size == room:
                self.register.value = bytes(body[-self.unit :])
        elif self._gcm is not None:
            if not self._gcm.open(self.nonce(), bytes(header), body, into):
                raise IsclError(Condition.BAD_MAC)
        else:
            into[:] = body
        self._filled += size
        return size == room

    def finish(self, option: int, wire: bytes) -> memoryview:
        """Take the MAC of the message; return the message. Raises `IsclError`."""
        settings = self.settings
        if self.unit > 1:
            # The padding is judged with the MAC, so that nobody learns which of the two was wrong from the time it takes.
            padding_wrong = self._padding_wrong()
        else:
            padding_wrong = None
        if settings.mac in (Mac.AES_CMAC, Mac.HMAC_SHA256):
            self.counter += 1
        self.cipher_blocks += -(-self._length // 8) + 3
        if (settings.mac is not Mac.MD5 and option) or option not in (0, 1):
            raise IsclError(Condition.BAD_OPTION, "MAC notification")
        orders = list(Md5Order) if settings.r1.order_sign is OrderSign.TRY_BOTH else [Md5Order.B if option else Md5Order.A]
        good = any(self._fits(order, wire) for order in orders)
        if padding_wrong is not None:
            raise padding_wrong
        if not good:
            raise IsclError(Condition.BAD_MAC)
        return self.message()

    def message(self) -> memoryview:
        """Return the message and let go of it."""
        view = self._view[: self._length].toreadonly()
        self._view = memoryview(b"")
        self._cbc = self._gcm = None
        return view

    def _padding_wrong(self) -> IsclError | None:
        tail = self._length // self.unit * self.unit
        try:
            check(self._view[tail:], self._length - tail, self.settings.r1.padding)
        except IsclError as error:
            return error
        return None

    def _fits(self, order: Md5Order, wire: bytes) -> bool:
        expected = self.plain_mac(self._view[: self._length], self._keys, order)
        if not self.mac_encrypted(order):
            return hmac.compare_digest(expected, wire)
        size = MAC_BYTES[self.settings.mac]
        unit = len(self.register.value)
        if len(wire) != padded_length(size, unit, self.settings.r1.padding):
            return False
        plain = bytearray(len(wire))
        source = memoryview(bytearray(wire))
        self.primitives.cbc(self.mac_cipher, self._keys.encryption, self.mac_register(), False).run(source, memoryview(plain))
        try:
            check(memoryview(plain), size, self.settings.r1.padding)
        except IsclError:
            return False
        if not hmac.compare_digest(bytes(plain[:size]), expected):
            return False
        self.mac_passed(wire)
        return True
