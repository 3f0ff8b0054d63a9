"""Tokens of extension 0x80000001: E | M, where E is AES-CBC with zero vector of the text padded by method 2, and M the first 16 bytes of
HMAC-SHA-256 of E under AES(K, "ISCL 9798-2 MAC1") | AES(K, "ISCL 9798-2 MAC2").

Without M a recorded token could be bent to any new challenge by changing its first block, whose plain text nothing fixes.
"""

from __future__ import annotations

import hmac
from typing import Final

from virtualcard import blockcipher
from virtualcard.apdu import Refusal, Status
from virtualcard.state import SymmetricKey

NONCE: Final = 16
SHORTEST: Final = 2 * NONCE  # one block and M
_BLOCK: Final = 16
_MAC: Final = 16
_LONGEST: Final = 256


def seal(key: SymmetricKey, text: bytes) -> bytes:
    """Return the token of a text."""
    padded = text + b"\x80" + bytes(-(len(text) + 1) % _BLOCK)
    sealed = blockcipher.cbc(key.kind, key.value, padded)
    return sealed + mac(key, sealed)


def split(token: bytes) -> tuple[bytes, bytes]:
    """Return (E, M). Raises `Refusal` (6A80) for a length that no token has."""
    sealed, given = token[:-_MAC], token[-_MAC:]
    if not sealed or len(sealed) % _BLOCK or len(sealed) > _LONGEST:
        raise Refusal(Status.WRONG_DATA)
    return sealed, given


def mac(key: SymmetricKey, sealed: bytes) -> bytes:
    """Return M."""
    secret = blockcipher.ecb(key.kind, key.value, b"ISCL 9798-2 MAC1ISCL 9798-2 MAC2")
    return hmac.digest(secret, sealed, "sha256")[:_MAC]


def opened(key: SymmetricKey, sealed: bytes) -> bytes:
    """Return the text of E, whose M was right."""
    return blockcipher.cbc_open(key.kind, key.value, sealed).rstrip(b"\0")[:-1]
