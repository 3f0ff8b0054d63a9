"""What the engine needs of a cipher library. `libcrypto` implements it; the engine itself calls nothing else."""

from __future__ import annotations

from typing import Protocol

from wardgate.iscl.terms import Encryption, Mac


class Cbc(Protocol):
    """One key, one way, one running register."""

    def run(self, source: memoryview, into: memoryview) -> None:
        """Encrypt or decrypt whole cipher blocks; `into` is as long as `source`, and writable."""


class Gcm(Protocol):
    """AES-256-GCM under one key."""

    def seal(self, nonce: bytes, associated: bytes, source: memoryview, into: memoryview) -> None:
        """Write ciphertext and 16-byte tag to `into`."""

    def open(self, nonce: bytes, associated: bytes, source: memoryview, into: memoryview) -> bool:
        """Write the plaintext of `source` (ciphertext and tag) to `into`; false: the tag is wrong and `into` means nothing."""


class MacRun(Protocol):
    """A MAC under way."""

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes."""

    def digest(self) -> bytes:
        """Return the MAC. Nothing may follow."""


class Primitives(Protocol):
    """Ciphers, MACs, random numbers."""

    def cbc(self, encryption: Encryption, key: bytes, register: bytes, sealing: bool) -> Cbc:
        """Return DES, 3DES or AES in CBC mode, without padding."""

    def gcm(self, key: bytes) -> Gcm:
        """Return AES-256-GCM."""

    def mac(self, mac: Mac, key: bytes) -> MacRun:
        """Return DES-MAC (zero IV, zero fill, 8 bytes), retail MAC, AES-CMAC or HMAC-SHA-256."""

    def random(self, size: int) -> bytes:
        """Return random bytes."""
