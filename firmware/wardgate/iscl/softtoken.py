"""Long-term keys held by this process, for the laboratory and for tests: the counterpart of a card or of the key service.

It does what `tokens` asks, in order, and stops at the first judgement that comes out false.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from wardgate.iscl.deskeys import odd_parity
from wardgate.iscl.primitives import Primitives
from wardgate.iscl.terms import SESSION_KEY, Encryption, Mac, Way
from wardgate.iscl.tokens import (
    AUTHENTICATION,
    DERIVATION,
    Authenticate,
    Challenge,
    Check,
    CheckBA,
    Derive,
    MessageKey,
    Operation,
    Respond,
    Result,
    TokenAB,
    TokenBA,
    Verify,
)

_NONCE_BYTES: Final = 16


class KeyPair(NamedTuple):
    """The two keys of a slot: 8 bytes for the base method, 16 or 32 for the extension methods."""

    to_server: bytes
    to_client: bytes


class SoftToken:
    """`slots`: authentication keys; `static`: encryption keys 1 to 8, where they are in use."""

    def __init__(self, primitives: Primitives, slots: dict[int, KeyPair], static: dict[int, KeyPair] | None = None) -> None:
        self._primitives = primitives
        self._slots = slots
        self._static = static or {}

    def run(self, operations: tuple[Operation, ...]) -> tuple[Result, ...]:
        """Return one result for each operation; None behind a judgement that came out false. Raises `KeyError` for a slot it lacks."""
        results: list[Result] = []
        for operation in operations:
            results.append(self._one(operation) if False not in results else None)
        return tuple(results)

    def _one(self, operation: Operation) -> Result:
        if isinstance(operation, Challenge):
            return self._primitives.random(operation.size)
        if isinstance(operation, MessageKey):
            return self._message_key(operation)
        key = _of(self._slots[operation.slot], operation.way)
        if isinstance(operation, Respond):
            return self._des(key, operation.challenge)
        if isinstance(operation, Verify):
            return hmac.compare_digest(self._des(key, operation.challenge), operation.response)
        if isinstance(operation, TokenAB):
            nonce = self._primitives.random(_NONCE_BYTES)
            return self._sealed(key, nonce + operation.challenge + operation.server), nonce
        if isinstance(operation, TokenBA):
            return self._token_ba(operation, key)
        if isinstance(operation, CheckBA):
            return self._unsealed(key, operation.token) == operation.challenge + operation.nonce
        if isinstance(operation, Authenticate | Check):
            code = self._cmac(key, AUTHENTICATION, operation.data)
            return hmac.compare_digest(code, operation.code) if isinstance(operation, Check) else code
        assert isinstance(operation, Derive)
        return hkdf(self._cmac(key, DERIVATION, operation.salt), operation.salt, operation.info, operation.size)

    def _cmac(self, key: bytes, purpose: str, data: bytes) -> bytes:
        run = self._primitives.mac(Mac.AES_CMAC, key)
        run.update(bytes((len(purpose),)) + purpose.encode() + data)
        return run.digest()

    # ISO/IEC 9798-2 wants authenticated encryption: AES-CBC with padding method 2, then HMAC-SHA-256 over the cipher text, 16 bytes.
    # CBC alone would let whoever recorded one token make one for any challenge.

    def _token_ba(self, operation: TokenBA, key: bytes) -> bytes | bool:
        theirs = _of(self._slots[operation.slot], Way.TO_SERVER if operation.way is Way.TO_CLIENT else Way.TO_CLIENT)
        plain = self._unsealed(theirs, operation.token)
        if plain is None or plain[_NONCE_BYTES:] != operation.challenge + operation.server or plain[:_NONCE_BYTES] == operation.challenge:
            return False
        return self._sealed(key, operation.challenge + plain[:_NONCE_BYTES])

    def _sealed(self, key: bytes, plain: bytes) -> bytes:
        cipher = self._aes(key, plain + b"\x80" + bytes(-(len(plain) + 1) % 16), True)
        return cipher + self._tag(key, cipher)

    def _unsealed(self, key: bytes, token: bytes) -> bytes | None:
        cipher, tag = token[:-16], token[-16:]
        if not cipher or len(cipher) % 16 or not hmac.compare_digest(self._tag(key, cipher), tag):
            return None
        return self._aes(key, cipher, False).rstrip(b"\0")[:-1]

    def _tag(self, key: bytes, cipher: bytes) -> bytes:
        secret = self._aes(key, b"ISCL 9798-2 MAC1", True) + self._aes(key, b"ISCL 9798-2 MAC2", True)
        return hmac.digest(secret, cipher, hashlib.sha256)[:16]

    def _message_key(self, operation: MessageKey) -> tuple[bytes, bytes]:
        if operation.key_id != SESSION_KEY:
            return b"", _of(self._static[operation.key_id], operation.way)
        random = operation.random if operation.random is not None else self._primitives.random(8)
        masters = self._static[operation.master] if operation.master else self._slots[operation.slot]
        return random, odd_parity(self._des(_of(masters, operation.way), random))

    def _des(self, key: bytes, block: bytes) -> bytes:
        out = bytearray(len(block))
        self._primitives.cbc(Encryption.DES_CBC, key, bytes(8), True).run(memoryview(bytearray(block)), memoryview(out))
        return bytes(out)

    def _aes(self, key: bytes, data: bytes, sealing: bool) -> bytes:
        out = bytearray(len(data))
        encryption = Encryption.AES_128_CBC if len(key) == 16 else Encryption.AES_256_CBC
        self._primitives.cbc(encryption, key, bytes(16), sealing).run(memoryview(bytearray(data)), memoryview(out))
        return bytes(out)


def _of(pair: KeyPair, way: Way) -> bytes:
    return pair.to_server if way is Way.TO_SERVER else pair.to_client


def hkdf(key: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 with SHA-256; at most 32 bytes."""
    extracted = hmac.digest(salt, key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\1", hashlib.sha256)[:size]
