"""What the engine asks of whoever holds the long-term keys. It never sees such a key.

The engine puts a tuple of operations into `Engine.asked`; its caller carries them out in this order, in a thread, and gives the
results to `Engine.answer`. When a `Verify` or `Check` comes out false the rest need not be done: None stands for their results.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wardgate.iscl.terms import Way

HKDF_LABEL: Final = b"wardgate iscl r1 hkdf"  # no transcript of the authentication begins like this (nonces do)


class Challenge(NamedTuple):
    """GET CHALLENGE: `size` random bytes. Result: bytes."""

    size: int


class Respond(NamedTuple):
    """INTERNAL AUTHENTICATE: E(K, challenge) under the key of `slot` for `way`. Result: 8 bytes."""

    slot: int
    way: Way
    challenge: bytes


class Verify(NamedTuple):
    """EXTERNAL AUTHENTICATE: is it E(K, challenge)? Result: bool."""

    slot: int
    way: Way
    challenge: bytes
    response: bytes


class MessageKey(NamedTuple):
    """The key of one message. `key_id` 0x10: odd parity of E(K of `slot`, random); `random` None: draw it. 1 to 8: that static key.

    Result: (random, key), 8 bytes each; random empty for a static key.
    """

    slot: int
    way: Way
    key_id: int
    random: bytes | None


class Encipher(NamedTuple):
    """ISO/IEC 9798-2 extension: AES-CBC, zero IV, whole blocks. Result: bytes."""

    slot: int
    way: Way
    data: bytes


class Decipher(NamedTuple):
    """The reverse of `Encipher`. Result: bytes."""

    slot: int
    way: Way
    data: bytes


class Authenticate(NamedTuple):
    """ISO/IEC 9798-4 extension: AES-CMAC of `data`. Result: 16 bytes."""

    slot: int
    way: Way
    data: bytes


class Check(NamedTuple):
    """Is `code` the AES-CMAC of `data`? Result: bool."""

    slot: int
    way: Way
    data: bytes
    code: bytes


class Derive(NamedTuple):
    """HKDF-SHA-256 (RFC 5869); what goes in is the AES-CMAC, under the key of `slot` for `way`, of `HKDF_LABEL` and the salt, so that a
    token without HKDF can do its part. Result: `size` bytes."""

    slot: int
    way: Way
    salt: bytes
    info: bytes
    size: int


Operation = Challenge | Respond | Verify | MessageKey | Encipher | Decipher | Authenticate | Check | Derive
Result = bytes | bool | tuple[bytes, bytes] | None
