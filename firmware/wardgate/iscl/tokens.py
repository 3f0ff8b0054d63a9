"""What the engine asks of whoever holds the long-term keys. It never sees such a key.

The engine puts a tuple of operations into `Engine.asked`; its caller carries them out in this order, in a thread, and gives the
results to `Engine.answer`. When a judgement comes out false the rest must not be done: None stands for their results.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wardgate.iscl.terms import Way


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
    """The key of one message. `key_id` 0x10: odd parity of E(K, random); `random` None: draw it. 1 to 8: that static key.

    K: the authentication key of `slot` for `way`, or that of the encryption slot `master` when it is not 0.
    Result: (random, key), 8 bytes each; random empty for a static key.
    """

    slot: int
    way: Way
    key_id: int
    random: bytes | None
    master: int = 0


class TokenAB(NamedTuple):
    """ISO/IEC 9798-2 extension, client: a nonce R_A and eK(R_A, R_B, name of the server). Result: (token, nonce)."""

    slot: int
    way: Way
    challenge: bytes
    server: bytes


class TokenBA(NamedTuple):
    """Server: is `token` TokenAB for our challenge and name? Result: eK(R_B, R_A) for `way`, or False."""

    slot: int
    way: Way
    challenge: bytes
    server: bytes
    token: bytes


class CheckBA(NamedTuple):
    """Client: is `token` TokenBA for our nonce and the server's challenge? Result: bool."""

    slot: int
    way: Way
    nonce: bytes
    challenge: bytes
    token: bytes


class Authenticate(NamedTuple):
    """ISO/IEC 9798-4 extension: AES-CMAC over `AUTHENTICATION` and `data`. Result: 16 bytes."""

    slot: int
    way: Way
    data: bytes


class Check(NamedTuple):
    """Is `code` what `Authenticate` gives for `data`? Result: bool."""

    slot: int
    way: Way
    data: bytes
    code: bytes


class Derive(NamedTuple):
    """HKDF-SHA-256 (RFC 5869) of a key of the connection, `size` bytes.

    What goes in is the AES-CMAC over `DERIVATION` and the salt under the key of `slot` for `way`, so that a token without HKDF can do its
    part. Each CMAC is over one byte of length, the purpose, then the data: what authenticates never derives.
    """

    slot: int
    way: Way
    salt: bytes
    info: bytes
    size: int


AUTHENTICATION: Final = "9798-4"
DERIVATION: Final = "hkdf"
Operation = Challenge | Respond | Verify | MessageKey | TokenAB | TokenBA | CheckBA | Authenticate | Check | Derive
Result = bytes | bool | tuple[bytes, bytes] | None
