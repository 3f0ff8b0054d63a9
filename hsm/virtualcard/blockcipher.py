"""DES, 3DES and AES for the card's symmetric keys. Single DES is 3DES with one key three times."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:  # cryptography before 43
    TripleDES = algorithms.TripleDES  # type: ignore[misc,unused-ignore]


class Kind(IntEnum):
    """Kinds of an ISCL key, as PUT KEY names them."""

    DES = 0x01
    DES3 = 0x02
    AES128 = 0x03
    AES256 = 0x04


KEY_BYTES: Final = {Kind.DES: 8, Kind.DES3: 24, Kind.AES128: 16, Kind.AES256: 32}

# FIPS 74 3.6: four weak keys and six pairs of semi-weak ones, odd parity.
_WEAK_HEX: Final = (
    "0101010101010101fefefefefefefefee0e0e0e0f1f1f1f11f1f1f1f0e0e0e0e011f011f010e010e1f011f010e010e0101e001e001f101f1e001e001f101f101"
    "01fe01fe01fe01fefe01fe01fe01fe011fe01fe00ef10ef1e01fe01ff10ef10e1ffe1ffe0efe0efefe1ffe1ffe0efe0ee0fee0fef1fef1fefee0fee0fef1fef1"
)
_WEAK: Final = frozenset(bytes.fromhex(_WEAK_HEX[at : at + 16]) for at in range(0, len(_WEAK_HEX), 16))


def odd_parity(key: bytes) -> bytes:
    """Return `key` with the low bit of each byte set so that the byte has an odd number of ones."""
    return bytes(byte & 0xFE | (byte >> 1).bit_count() & 1 ^ 1 for byte in key)


def is_weak(kind: int, key: bytes) -> bool:
    """Tell whether a DES part of the key is weak or semi-weak; AES keys never are."""
    if kind not in (Kind.DES, Kind.DES3):
        return False
    parts = [odd_parity(key[at : at + 8]) for at in range(0, len(key), 8)]
    return any(part in _WEAK for part in parts) or (kind == Kind.DES3 and (parts[0] == parts[1] or parts[1] == parts[2]))


def ecb(kind: int, key: bytes, blocks: bytes) -> bytes:
    """Encrypt whole blocks, each by itself."""
    return _encrypt(Cipher(_algorithm(kind, key), modes.ECB()), blocks)  # noqa: S305 - single blocks and what the profile prescribes


def cbc(kind: int, key: bytes, blocks: bytes) -> bytes:
    """Encrypt whole blocks in CBC with an initial vector of zeros."""
    return _encrypt(Cipher(_algorithm(kind, key), modes.CBC(bytes(block_bytes(kind)))), blocks)


def cbc_open(kind: int, key: bytes, blocks: bytes) -> bytes:
    """Decrypt whole blocks in CBC with an initial vector of zeros."""
    decryptor = Cipher(_algorithm(kind, key), modes.CBC(bytes(block_bytes(kind)))).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def block_bytes(kind: int) -> int:
    """Return the size of a block."""
    return 8 if kind in (Kind.DES, Kind.DES3) else 16


def _algorithm(kind: int, key: bytes) -> algorithms.AES | TripleDES:
    if kind == Kind.DES:
        return TripleDES(key * 3)
    return TripleDES(key) if kind == Kind.DES3 else algorithms.AES(key)


def _encrypt(cipher: Cipher[modes.ECB] | Cipher[modes.CBC], blocks: bytes) -> bytes:
    encryptor = cipher.encryptor()
    return encryptor.update(blocks) + encryptor.finalize()
