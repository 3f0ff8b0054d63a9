"""The chunks of a queue file: AES-256-GCM under a key of its own, so that no chunk can be changed, moved, left out or cut off.

    chunk    u32 length of the plain bytes (big-endian; top bit: the trailer) | ciphertext | tag of 16 bytes
    nonce    u8 kind (0 data, 1 trailer) | 3 bytes 0 | u64 place of the chunk, from 0: used once, because the key is used for one file
    AAD      SHA-256 of everything before the first chunk

The trailer is the last chunk, once: a file without it is cut off. Sans-IO.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_BYTES: Final = 64 << 10  # plain bytes of a data chunk, at most: what stays in a core's cache
TAG_BYTES: Final = 16
LENGTH: Final = struct.Struct(">I")
_NONCE: Final = struct.Struct(">B3xQ")
_TRAILER: Final = 1 << 31


class Damaged(Exception):
    """A queue file is not what was written: cut off, changed, or not a queue file at all."""

    code = Code.HOLD_DAMAGED


_into: Callable[..., object] | None = None  # cryptography's way to seal without a new buffer each time, where it has one


def cipher(key: bytes) -> AESGCM:
    """Return what seals one file under its key of 32 bytes."""
    global _into
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _into = getattr(AESGCM, "encrypt_into", None)
    return AESGCM(key)


class Sealer:
    """Makes the chunks of one file, in order, the trailer last."""

    __slots__ = ("_aad", "_aead", "_place")

    def __init__(self, aead: AESGCM, head: bytes) -> None:
        """`aead`: a `cipher` that seals nothing else."""
        self._aead = aead
        self._aad = hashlib.sha256(head).digest()
        self._place = 0

    def behind(self, head: bytes) -> None:
        """Something was added to the head; nothing is sealed yet."""
        assert not self._place
        self._aad = hashlib.sha256(head).digest()

    def chunk(self, data: memoryview, room: memoryview) -> int:
        """Put the next data chunk, of 1 to `CHUNK_BYTES` bytes, into `room`; return its size there."""
        size = len(data)
        whole = LENGTH.size + size + TAG_BYTES
        if _into is None or size > CHUNK_BYTES:
            room[:whole] = self._seal(data, 0)
            return whole
        nonce = _NONCE.pack(0, self._place)
        self._place += 1
        LENGTH.pack_into(room, 0, size)
        _into(self._aead, nonce, data, self._aad, room[LENGTH.size : whole])
        return whole

    def trailer(self, data: bytes) -> bytes:
        """Return the last chunk."""
        return self._seal(data, 1)

    def _seal(self, data: bytes | bytearray | memoryview, kind: int) -> bytes:
        if len(data) > CHUNK_BYTES:
            raise ValueError(f"a chunk of {len(data)} bytes")
        nonce = _NONCE.pack(kind, self._place)
        self._place += 1
        return LENGTH.pack(len(data) | _TRAILER * kind) + self._aead.encrypt(nonce, data, self._aad)


class Opener:
    """Opens the chunks of one file, in order."""

    __slots__ = ("_aad", "_aead", "_place", "ended")

    def __init__(self, key: bytes, head: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)
        self._aad = hashlib.sha256(head).digest()
        self._place = 0
        self.ended = False  # the trailer was opened

    @staticmethod
    def size(length: bytes) -> int:
        """Return how many bytes follow the four of a chunk's length. Raises `Damaged`."""
        if len(length) != LENGTH.size:
            raise Damaged("the file is cut off between two chunks")
        plain = LENGTH.unpack(length)[0] & ~_TRAILER
        if plain > CHUNK_BYTES:
            raise Damaged(f"a chunk says {plain} bytes, {CHUNK_BYTES} is the most")
        return int(plain) + TAG_BYTES

    def open(self, length: bytes, sealed: bytes) -> bytes:
        """Return the plain bytes of the next chunk; `ended` tells whether it was the trailer. Raises `Damaged`."""
        from cryptography.exceptions import InvalidTag

        if self.ended:
            raise Damaged("something follows the trailer")
        if len(sealed) != self.size(length):
            raise Damaged("the file is cut off inside a chunk")
        kind = LENGTH.unpack(length)[0] >> 31
        try:
            data = self._aead.decrypt(_NONCE.pack(kind, self._place), sealed, self._aad)
        except InvalidTag as error:
            raise Damaged(f"chunk {self._place} does not verify") from error
        self._place += 1
        self.ended = bool(kind)
        return data
