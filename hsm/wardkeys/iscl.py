"""What ISCL does with keys in a token (reconstruction profile R1 and its extensions): the arithmetic, over any `IsclKeys`.

R1: response = E(K, challenge), single DES; session key = odd parity of E(K, RND). The keys stay where they are; what comes out is a
response, a session key or a token. docs/keys.md gives names, formats and what is weak in them. Sans-IO: no socket, no module.
"""

from __future__ import annotations

import hmac
import re
from typing import Final, Protocol

from wardgate.codes import Code
from wardkeys.errors import KeyServiceError

DES_BLOCK: Final = 8
AES_BLOCK: Final = 16
NONCE: Final = 16  # of extension 0x80000001
MAX_NAME: Final = 128  # authentication data of one side
MAX_DATA: Final = 61440  # of one ISCL_ENCRYPT or ISCL_DECRYPT
MAX_PURPOSE: Final = 32
LABEL: Final = "iscl-"

_AUTH: Final = re.compile(r"auth-[1-8]-(s2c|c2s)")
_AES_AUTH: Final = re.compile(r"aes-auth-[1-8]-(s2c|c2s)")
_MASTER: Final = re.compile(r"auth-[1-8]-(s2c|c2s)|enc-[1-8]")
_CIPHER: Final = re.compile(r"(aes-)?enc-[1-8]")

# FIPS 74 3.6: the 4 weak and 12 semi-weak keys, with odd parity.
_WEAK_TEXT: Final = """
    0101010101010101 fefefefefefefefe e0e0e0e0f1f1f1f1 1f1f1f1f0e0e0e0e 01fe01fe01fe01fe fe01fe01fe01fe01 1fe01fe00ef10ef1 e01fe01ff10ef10e
    01e001e001f101f1 e001e001f101f101 1ffe1ffe0efe0efe fe1ffe1ffe0efe0e 011f011f010e010e 1f011f010e010e01 e0fee0fef1fef1fe fee0fee0fef1fef1
"""
WEAK: Final = frozenset(bytes.fromhex(text) for text in _WEAK_TEXT.split())
_PARITY: Final = bytes(value & 0xFE | (value >> 1).bit_count() + 1 & 1 for value in range(256))


class IsclKeys(Protocol):
    """Where ISCL keys are: a PKCS#11 token, or the ISCL application of a card. Every method raises `KeyServiceError`."""

    def random(self, count: int) -> bytes:
        """Return random bytes."""
        ...

    def block(self, key: str, data: bytes) -> bytes:
        """Return one block encrypted under the key of that name (DES, or AES for names with aes-)."""
        ...

    def cbc(self, key: str, vector: bytes, data: bytes, encrypt: bool) -> bytes:
        """Return whole blocks encrypted or decrypted in CBC mode."""
        ...

    def cmac(self, key: str, data: bytes) -> bytes:
        """Return the AES-CMAC of `data`."""
        ...


def odd_parity(key: bytes) -> bytes:
    """Return a DES key with the low bit of each byte set so that the byte has odd parity."""
    return key.translate(_PARITY)


def authentication_key(name: bytes) -> str:
    """Return a name such as auth-1-s2c. Raises `KeyServiceError`."""
    return _named(_AUTH, name, "auth-N-s2c or auth-N-c2s")


def other_of_pair(key: str) -> str:
    """Return the name of the pair's other key."""
    return key[:-3] + ("c2s" if key.endswith("s2c") else "s2c")


def respond(keys: IsclKeys, key: str, challenge: bytes) -> bytes:
    """Return E(K, challenge) (iscl.md 7.3, Response)."""
    return keys.block(key, sized(challenge, DES_BLOCK, "challenge"))


def verify(keys: IsclKeys, key: str, challenge: bytes, response: bytes) -> None:
    """Raise `KeyServiceError` unless `response` is E(K, challenge)."""
    if not hmac.compare_digest(respond(keys, key, challenge), response):
        raise KeyServiceError(Code.KEYS_ISCL_REFUSED, "")


def session_key(keys: IsclKeys, name: bytes, random: bytes) -> bytes:
    """Return odd parity of E(K_master, RND) (iscl.md 7.3, Key ID 0x10). Raises `KeyServiceError` when it is weak: redraw RND."""
    key = _named(_MASTER, name, "auth-N-s2c, auth-N-c2s or enc-N")
    made = odd_parity(keys.block(key, sized(random, DES_BLOCK, "random number")))
    if made in WEAK:
        raise KeyServiceError(Code.KEYS_ISCL_WEAK, "")
    return made


def crypt(keys: IsclKeys, name: bytes, vector: bytes, data: bytes, encrypt: bool) -> bytes:
    """Encrypt or decrypt whole blocks under a static encryption slot, which never leaves the token."""
    key = _named(_CIPHER, name, "enc-N or aes-enc-N")
    size = AES_BLOCK if key.startswith("aes-") else DES_BLOCK
    sized(vector, size, "initial vector")
    if not data or len(data) % size or len(data) > MAX_DATA:
        raise KeyServiceError(Code.KEYS_WIRE, f"data of {len(data)} bytes: whole blocks of {size}, at most {MAX_DATA}")
    return keys.cbc(key, vector, data, encrypt)


def aes_key(name: bytes) -> str:
    """Return a name such as aes-auth-1-s2c. Raises `KeyServiceError`."""
    return _named(_AES_AUTH, name, "aes-auth-N-s2c or aes-auth-N-c2s")


def seal(keys: IsclKeys, key: str, plain: bytes) -> bytes:
    """Return E | MAC: AES-CBC with zero IV and padding method 2, then HMAC-SHA-256 of E cut to 16 bytes.

    ISO/IEC 9798-2 asks for authenticated encryption. CBC alone will not do: whoever recorded one token can turn it into one for any
    new challenge by changing the first two blocks, because nothing fixes the first plain block.
    """
    padded = plain + b"\x80" + bytes(-(len(plain) + 1) % AES_BLOCK)
    sealed = keys.cbc(key, bytes(AES_BLOCK), padded, True)
    return sealed + _mac(keys, key, sealed)


def unseal(keys: IsclKeys, key: str, token: bytes) -> bytes:
    """Return the plain text of `seal`. Raises `KeyServiceError`."""
    sealed, mac = token[:-AES_BLOCK], token[-AES_BLOCK:]
    if not sealed or len(sealed) % AES_BLOCK or len(sealed) > 4 * NONCE + MAX_NAME:
        raise KeyServiceError(Code.KEYS_ISCL_REFUSED, f"token of {len(token)} bytes")
    if not hmac.compare_digest(_mac(keys, key, sealed), mac):
        raise KeyServiceError(Code.KEYS_ISCL_REFUSED, "")
    return keys.cbc(key, bytes(AES_BLOCK), sealed, False).rstrip(b"\0")[:-1]


def _mac(keys: IsclKeys, key: str, sealed: bytes) -> bytes:
    secret = keys.block(key, b"ISCL 9798-2 MAC1") + keys.block(key, b"ISCL 9798-2 MAC2")
    return hmac.digest(secret, sealed, "sha256")[:AES_BLOCK]


def token_ab(keys: IsclKeys, key: str, challenge: bytes, peer: bytes) -> tuple[bytes, bytes]:
    """Return (TokenAB = eK(R_A, R_B, B), R_A): the client's answer to the server's challenge R_B (ISO/IEC 9798-2 three pass)."""
    sized(challenge, NONCE, "challenge")
    nonce = keys.random(NONCE)
    return seal(keys, key, nonce + challenge + side_name(peer)), nonce


def token_ba(keys: IsclKeys, key: str, key_ab: str, challenge: bytes, own: bytes, token: bytes) -> bytes:
    """Check TokenAB against the server's challenge and name; return TokenBA = eK(R_B, R_A). Raises `KeyServiceError`."""
    plain = unseal(keys, key_ab, token)
    if not hmac.compare_digest(plain[NONCE:], sized(challenge, NONCE, "challenge") + side_name(own)):
        raise KeyServiceError(Code.KEYS_ISCL_REFUSED, "another challenge or another name")
    return seal(keys, key, challenge + plain[:NONCE])


def check_ba(keys: IsclKeys, key: str, nonce: bytes, challenge: bytes, token: bytes) -> None:
    """Check TokenBA at the client. Raises `KeyServiceError`."""
    if not hmac.compare_digest(unseal(keys, key, token), challenge + nonce):
        raise KeyServiceError(Code.KEYS_ISCL_REFUSED, "another challenge or nonce")


def mac(keys: IsclKeys, name: bytes, purpose: bytes, data: bytes) -> bytes:
    """Return AES-CMAC over length of purpose, purpose, data: check values and HKDF input of extension 0x80000002, kept apart by purpose."""
    if not 0 < len(purpose) <= MAX_PURPOSE or len(data) > MAX_DATA:
        raise KeyServiceError(Code.KEYS_WIRE, "purpose has 1 to 32 bytes")
    return keys.cmac(aes_key(name), bytes((len(purpose),)) + purpose + data)


def _named(pattern: re.Pattern[str], name: bytes, expected: str) -> str:
    text = name.decode("ascii", "replace")
    if pattern.fullmatch(text) is None:
        raise KeyServiceError(Code.KEYS_NO_KEY, f"the name of the key is {expected}, N 1 to 8")
    return text


def side_name(name: bytes) -> bytes:
    """Return the name of one side. Raises `KeyServiceError` where it is empty or too long."""
    if not 0 < len(name) <= MAX_NAME:
        raise KeyServiceError(Code.KEYS_WIRE, f"a name has 1 to {MAX_NAME} bytes")
    return name


def sized(value: bytes, size: int, what: str) -> bytes:
    """Return `value`. Raises `KeyServiceError` where it has another length."""
    if len(value) != size:
        raise KeyServiceError(Code.KEYS_WIRE, f"{what} of {len(value)} bytes, it has {size}")
    return value
