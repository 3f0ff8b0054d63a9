"""Command sets built element by element from PS3.7 E.1, without the code under test."""

from __future__ import annotations

import struct

CT = b"1.2.840.10008.5.1.4.1.1.2\0"
INSTANCE = b"1.2.826.0.1.3680043.8.498.7\0"


def element(number: int, value: bytes, group: int = 0) -> bytes:
    """Build an element, implicit VR little endian."""
    return struct.pack("<HHI", group, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    """Build an element of VR US."""
    return element(number, struct.pack("<H", value))


def command_set(*elements: bytes) -> bytes:
    """Put the group length before the elements."""
    body = b"".join(elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def store_request(message_id: int) -> bytes:
    """Build a C-STORE-RQ."""
    return command_set(
        element(0x0002, CT), us(0x0100, 1), us(0x0110, message_id), us(0x0700, 0), us(0x0800, 0x0102), element(0x1000, INSTANCE)
    )


def store_response(message_id: int, status: int) -> bytes:
    """Build a C-STORE-RSP."""
    return command_set(
        element(0x0002, CT), us(0x0100, 0x8001), us(0x0120, message_id), us(0x0800, 0x0101), us(0x0900, status), element(0x1000, INSTANCE)
    )
