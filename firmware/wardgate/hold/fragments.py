"""Cuts a command set or a piece of a data set into P-DATA-TF PDUs (PS3.8 9.3.5, annex E): one fragment a PDU, of even length."""

from __future__ import annotations

import struct
from typing import Final

COMMAND: Final = 1
LAST: Final = 2
_HEAD: Final = struct.Struct(">BxIIBB")  # PDU type, reserved, PDU length; PDV item length, context ID, message control header
_OVERHEAD: Final = 6  # of one PDV item in its PDU
MOST: Final = 131072 - _OVERHEAD  # bytes of a fragment, whatever the peer takes
_LEAST: Final = 1024  # PS3.8 gives no lower bound to Maximum Length; one below this is taken as this


def fragment_size(maximum_length: int) -> int:
    """Return the bytes of a fragment for a peer that announced `maximum_length` (0: no limit)."""
    if not maximum_length:
        return MOST
    return min(MOST, max(maximum_length - _OVERHEAD, _LEAST)) & ~1


def fragments(context: int, flags: int, data: bytes | memoryview, size: int, last: bool = True) -> bytes:
    """Return the PDUs of `data`; the last one carries the last-fragment bit if `last`. `flags`: `COMMAND` or 0."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    total = len(view)
    at = 0
    while at < total or not parts:
        piece = view[at : at + size]
        at += len(piece)
        end = LAST if last and at >= total else 0
        parts.append(_HEAD.pack(4, len(piece) + _OVERHEAD, len(piece) + 2, context, flags | end))
        parts.append(piece)
        if not total:
            break
    return b"".join(parts)
