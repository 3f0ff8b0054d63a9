"""Keys of single DES: parity, and the keys that must not be used (FIPS 46-3; NIST SP 800-67)."""

from __future__ import annotations

from typing import Final

_WEAK: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "0101010101010101", "fefefefefefefefe", "e0e0e0e0f1f1f1f1", "1f1f1f1f0e0e0e0e",
        "011f011f010e010e", "1f011f010e010e01", "01e001e001f101f1", "e001e001f101f101",
        "01fe01fe01fe01fe", "fe01fe01fe01fe01", "1fe01fe00ef10ef1", "e01fe01ff10ef10e",
        "1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e", "e0fee0fef1fef1fe", "fee0fee0fef1fef1",
    )
)  # fmt: skip


def odd_parity(key: bytes) -> bytes:
    """Return `key` with the low bit of each byte set so that the byte has an odd number of ones."""
    return bytes((byte & 0xFE) | (((byte >> 1).bit_count() & 1) ^ 1) for byte in key)


def is_weak(key: bytes) -> bool:
    """Tell whether one of the 8-byte keys in `key` is weak or semi-weak, whatever its parity bits."""
    return any(odd_parity(key[at : at + 8]) in _WEAK for at in range(0, len(key), 8))


def variant(key: bytes) -> bytes:
    """Return the MAC variant of a key: each byte XOR F0."""
    return bytes(byte ^ 0xF0 for byte in key)
