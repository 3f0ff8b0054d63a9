"""Turns a message into its data blocks and its MAC notification, in one buffer that goes to the wire as it is; GCM where it lies."""

from __future__ import annotations

from typing import Final

from wardgate.iscl.direction import Direction
from wardgate.iscl.keys import MessageKeys
from wardgate.iscl.padding import fill, padded_length
from wardgate.iscl.reconstruction import Md5Order
from wardgate.iscl.room import ROOM
from wardgate.iscl.settings import block_step
from wardgate.iscl.terms import GCM_TAG_BYTES, HEADER_BYTES, Encryption, Mac, MessageId

_GCM_MORE: Final = HEADER_BYTES + GCM_TAG_BYTES  # of each block


class Sealer(Direction):
    """The sending direction."""

    def padded(self, length: int) -> int:
        """Return how long a message of `length` bytes is with its padding."""
        return padded_length(length, self.unit, self.settings.r1.padding)

    def laid_out(self, message: memoryview, block_length: int) -> bytearray | memoryview:
        """Return a copy of the message as `seal` wants it: with room for its padding, or (GCM) each block where it will be on the wire."""
        if self.settings.encryption is not Encryption.AES_256_GCM:
            buffer = bytearray(message)
            buffer.extend(bytes(self.padded(len(message)) - len(message)))
            return buffer
        step, total = block_step(self.settings, block_length), len(message)
        wire = ROOM.take(total + _GCM_MORE * -(-total // step))
        at = HEADER_BYTES
        for start in range(0, total, step):
            piece = message[start : start + step]
            wire[at : at + len(piece)] = piece
            at += len(piece) + _GCM_MORE
        return wire

    def seal(
        self, buffer: bytearray | memoryview, length: int, keys: MessageKeys, block_length: int
    ) -> list[bytes | bytearray | memoryview]:
        """Return the wire bytes of data and MAC. `buffer`: what `laid_out` made of a message of `length` bytes. It is written over."""
        self.begin()
        settings = self.settings
        view = memoryview(buffer)
        if settings.encryption is Encryption.AES_256_GCM:
            return [self._gcm(view, length, keys, block_length)]
        order = settings.md5_order
        if settings.mac in (Mac.AES_CMAC, Mac.HMAC_SHA256):
            self.counter += 1
        mac = self.plain_mac(view[:length], keys, order)
        if self.unit > 1:
            assert isinstance(buffer, bytearray)
            if len(buffer) > length:
                fill(buffer, length, settings.r1.padding)
            wire = self._cbc(view, keys, block_length)
        else:
            wire = self._clear(view, block_length)
        self.cipher_blocks += -(-length // 8) + 3
        if self.mac_encrypted(order):
            mac = self.seal_mac(mac, keys)
        option = int(settings.mac is Mac.MD5 and order is Md5Order.B)
        return [wire, self.codec.wrap(MessageId.MAC, mac, option)]

    def _cbc(self, view: memoryview, keys: MessageKeys, block_length: int) -> bytearray:
        step, total = block_step(self.settings, block_length), len(view)
        wire = bytearray(total + HEADER_BYTES * -(-total // step))
        out = memoryview(wire)
        run = self.primitives.cbc(self.settings.encryption, keys.encryption, self.register.value, True).run
        header = self.codec.header(MessageId.DATA, step)
        at = 0
        for start in range(0, total, step):
            size = min(step, total - start)
            wire[at : at + HEADER_BYTES] = header if size == step else self.codec.header(MessageId.DATA, size)
            at += HEADER_BYTES
            run(view[start : start + size], out[at : at + size])
            at += size
        self.register.value = bytes(out[-self.unit :])
        return wire

    def _clear(self, view: memoryview, block_length: int) -> bytearray:
        step, total = block_step(self.settings, block_length), len(view)
        wire = bytearray(total + HEADER_BYTES * -(-total // step))
        at = 0
        for start in range(0, total, step):
            size = min(step, total - start)
            wire[at : at + HEADER_BYTES] = self.codec.header(MessageId.DATA, size)
            wire[at + HEADER_BYTES : at + HEADER_BYTES + size] = view[start : start + size]
            at += HEADER_BYTES + size
        return wire

    def _gcm(self, wire: memoryview, length: int, keys: MessageKeys, block_length: int) -> memoryview:
        step = block_step(self.settings, block_length)
        seal = self.primitives.gcm(keys.encryption).seal
        at = 0
        for start in range(0, length, step):
            size = min(step, length - start)
            header = self.codec.header(MessageId.DATA, size + GCM_TAG_BYTES)
            wire[at : at + HEADER_BYTES] = header
            at += HEADER_BYTES
            seal(self.nonce(), header, wire[at : at + size], wire[at : at + size + GCM_TAG_BYTES])
            at += size + GCM_TAG_BYTES
        return wire
