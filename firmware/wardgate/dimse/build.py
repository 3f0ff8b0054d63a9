"""Builds command sets (PS3.7 6.3, annex E.1): implicit VR little endian, group 0000, elements in rising order, group length first."""

from __future__ import annotations

import struct
from typing import Final

from wardgate.dimse.command import NO_DATA_SET, Command, CommandError

_RESPONSE: Final = 0x8000
_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<H")
_STATUS: Final = struct.Struct("<" + "HHIH" * 4)  # four elements of a US each
_BARE: Final = struct.Struct("<II").unpack_from
_COMMENT_MAX: Final = 64  # PS3.7 C: (0000,0902) is LO


def command_set(elements: dict[int, int | str]) -> bytes:
    """Return a command set of `elements`, element number -> US value or text (UID, LO)."""
    parts = []
    for number in sorted(elements):
        value = elements[number]
        if isinstance(value, int):
            data = _US.pack(value)
        else:
            data = value.encode("ascii", "replace")
            if len(data) & 1:
                data += b" " if number == 0x0902 else b"\0"  # PS3.5 6.2: UI is padded with NUL
        parts.append(_ELEMENT.pack(0, number, len(data)) + data)
    body = b"".join(parts)
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def response(request: Command, status: int, comment: str = "") -> bytes:
    """Return the response without data set to `request`: its message ID, SOP Class and Instance echoed (PS3.7 9.3, 10.3)."""
    body = b"".join(
        (
            _uid(0x0002, request.sop_class),
            _STATUS.pack(
                0, 0x0100, 2, request.command_field | _RESPONSE, 0, 0x0120, 2, request.message_id, 0, 0x0800, 2, NO_DATA_SET,
                0, 0x0900, 2, status,
            ),
            _text(0x0902, comment[:_COMMENT_MAX], b" ") if comment else b"",
            _uid(0x1000, request.sop_instance),
        )
    )  # fmt: skip
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _uid(number: int, uid: str) -> bytes:
    return _text(number, uid, b"\0") if uid else b""  # PS3.5 6.2: UI is padded with NUL


def _text(number: int, text: str, pad: bytes) -> bytes:
    data = text.encode("ascii", "replace")
    if len(data) & 1:
        data += pad
    return _ELEMENT.pack(0, number, len(data)) + data


def with_message_id(command: bytes, message_id: int) -> bytes:
    """Return a request with another message ID (0000,0110); nothing else changes. Raises `CommandError` when it has none."""
    at = 0
    while at + 8 <= len(command):
        tag, length = _BARE(command, at)
        if tag == 0x01100000 and length == 2 and at + 10 <= len(command):
            return command[: at + 8] + _US.pack(message_id) + command[at + 10 :]
        at += 8 + length
    raise CommandError(len(command), "PS3.7 E.1", "a request without message ID (0000,0110)")
