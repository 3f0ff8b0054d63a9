"""Filling data up to whole cipher blocks, and taking the filling off again (R1; the scheme of ISCL V1.00 is not public)."""

from __future__ import annotations

from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.reconstruction import Padding


def padded_length(length: int, unit: int, padding: Padding) -> int:
    """Return how long `length` bytes become; `unit` is the cipher's block, 1: no padding at all."""
    if unit == 1:
        return length
    return -(-length // unit) * unit if padding is Padding.ZERO else length + unit - length % unit


def fill(buffer: bytearray, length: int, padding: Padding) -> None:
    """Write the filling behind the first `length` bytes of `buffer`, up to its end."""
    count = len(buffer) - length
    if count:
        buffer[length:] = bytes((count,)) * count if padding is Padding.COUNT else bytes(count)
        if padding is Padding.ISO_METHOD_2:
            buffer[length] = 0x80


def check(filled: memoryview, length: int, padding: Padding) -> None:
    """Check what lies behind the first `length` bytes. Raises `IsclError` (112)."""
    expected = bytearray(len(filled))
    fill(expected, length, padding)
    if filled[length:] != expected[length:]:
        raise IsclError(Condition.DECRYPTION_FAILED)
