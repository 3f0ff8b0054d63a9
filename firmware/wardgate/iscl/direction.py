"""What protects the messages of one direction: the running register, the counter, and the MAC of a message."""

from __future__ import annotations

import hashlib
from typing import Final

from wardgate.iscl.bodies import Codec
from wardgate.iscl.deskeys import variant
from wardgate.iscl.keys import MessageKeys
from wardgate.iscl.padding import fill, padded_length
from wardgate.iscl.primitives import Primitives
from wardgate.iscl.reconstruction import DesMacKey, Md5Order
from wardgate.iscl.settings import Settings
from wardgate.iscl.terms import UNIT_BYTES, Encryption, Mac, MessageId, Way

_TAGS: Final = {Way.TO_SERVER: b"C->S", Way.TO_CLIENT: b"S->C"}


class Register:
    """The last cipher block; one for each direction, or one for both (R1 switch)."""

    __slots__ = ("value",)

    def __init__(self, unit: int) -> None:
        self.value = bytes(unit)


class Direction:
    """Shared by `sealing` and `opening`."""

    def __init__(self, settings: Settings, codec: Codec, primitives: Primitives, way: Way, register: Register) -> None:
        self.settings = settings
        self.codec = codec
        self.primitives = primitives
        self.way = way
        self.register = register
        self.unit = UNIT_BYTES[settings.encryption]
        self.mac_cipher = settings.encryption if self.unit > 1 else Encryption.DES_CBC
        self.counter = 0  # of GCM blocks, or of messages
        self.cipher_blocks = 0  # under a static key

    def begin(self) -> None:
        """A message begins."""
        if not self.settings.r1.chain_messages:
            self.register.value = bytes(len(self.register.value))

    def nonce(self) -> bytes:
        """Return the nonce of the next GCM block: direction tag and counter, never the same twice under one key."""
        self.counter += 1
        return _TAGS[self.way] + self.counter.to_bytes(8, "big")

    def plain_mac(self, message: memoryview, keys: MessageKeys, order: Md5Order) -> bytes:
        """Return the MAC of the whole plain message, before any encryption of the MAC itself."""
        mac = self.settings.mac
        if mac is Mac.MD5:
            digest = hashlib.md5(message, usedforsecurity=False)
            if order is Md5Order.B:
                digest.update(self._block(keys.encryption, keys.random))
            return digest.digest()
        key = keys.mac
        if mac is Mac.DES_MAC and self.settings.r1.des_mac_key is DesMacKey.VARIANT:
            key = variant(key)
        run = self.primitives.mac(mac, key)
        if mac in (Mac.AES_CMAC, Mac.HMAC_SHA256):
            # The header of the request that announced the message; its body is bound to the keys (`keys.expand`).
            run.update(self.counter.to_bytes(8, "big") + self.codec.header(MessageId.TRANSMISSION_REQUEST, 16))
        run.update(message)
        return run.digest()

    def mac_encrypted(self, order: Md5Order) -> bool:
        """Is the MAC encrypted on the wire? Order A of MD5 always is: a bare digest would prove nothing."""
        if self.settings.mac is Mac.MD5:
            return order is Md5Order.A or (self.unit > 1 and self.settings.r1.order_b_as_message)
        return self.unit > 1 and self.settings.mac is Mac.DES_MAC

    def mac_register(self) -> bytes:
        """Return the register that the MAC is encrypted with."""
        return self.register.value if self.settings.r1.chain_mac else bytes(len(self.register.value))

    def seal_mac(self, mac: bytes, keys: MessageKeys) -> bytes:
        """Return the MAC encrypted, and move the register on."""
        padding = self.settings.r1.padding
        filled = bytearray(padded_length(len(mac), len(self.register.value), padding))
        filled[: len(mac)] = mac
        fill(filled, len(mac), padding)
        out = bytearray(len(filled))
        self.primitives.cbc(self.mac_cipher, keys.encryption, self.mac_register(), True).run(memoryview(filled), memoryview(out))
        self.mac_passed(out)
        return bytes(out)

    def mac_passed(self, wire: bytes | bytearray) -> None:
        """The encrypted MAC `wire` went by."""
        if self.settings.r1.chain_mac:
            self.register.value = bytes(wire[-len(self.register.value) :])

    def _block(self, key: bytes, block: bytes) -> bytes:
        out = bytearray(8)
        self.primitives.cbc(Encryption.DES_CBC, key, bytes(8), True).run(memoryview(bytearray(block)), memoryview(out))
        return bytes(out)
