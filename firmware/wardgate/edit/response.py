"""The `response` edit: another status in the command set of a response (PS3.7 9.3, annex C). Nothing else changes."""

from __future__ import annotations

import struct
from typing import Final

from wardgate.dimse.command import parse
from wardgate.edit import EditError

_STATUS: Final = struct.Struct("<H")


def replace_status(command: bytes | bytearray, status: int) -> bytes:
    """Return the command set with `status` (0 to FFFFH) in element (0000,0900), at the same length.

    When the status is there already, the very object given comes back if it is `bytes`. Raises `EditError` if the command
    set has no status, `CommandError` if it cannot be read.
    """
    found = parse(command)
    if found.status_offset < 0:
        raise EditError("the command set has no status (0000,0900) to replace")
    if found.status == status:
        return bytes(command)  # no copy of `bytes`
    if not 0 <= status <= 0xFFFF:
        raise EditError(f"{status:X}H is not a status")
    at = found.status_offset
    return b"".join((command[:at], _STATUS.pack(status), command[at + 2 :]))
