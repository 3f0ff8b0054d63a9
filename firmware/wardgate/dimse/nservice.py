"""Command sets of N-ACTION and N-EVENT-REPORT, and the data set of storage commitment (PS3.7 10.1, PS3.4 J.3). Sans-IO."""

from __future__ import annotations

import struct
from typing import Final

from wardgate.dimse.build import command_set
from wardgate.dimse.command import CommandField
from wardgate.dimse.commitment import EXPLICIT_LITTLE, SOP_CLASS, Reference, Report

SOP_INSTANCE: Final = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5: well-known
REQUEST: Final = 1  # Action Type ID, PS3.4 J.3.2
ALL_COMMITTED: Final = 1  # Event Type ID, PS3.4 J.3.3
FAILURES_EXIST: Final = 2
_HAS_DATA_SET: Final = 0x0001
_SHORT: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<HH2s2xI")
_IMPLICIT: Final = struct.Struct("<HHI")


def action_request(message_id: int) -> bytes:
    """Return the N-ACTION-RQ that asks for commitment (PS3.7 10.3.5)."""
    return command_set(
        {
            0x0003: SOP_CLASS,
            0x0100: CommandField.N_ACTION_RQ,
            0x0110: message_id,
            0x0800: _HAS_DATA_SET,
            0x1001: SOP_INSTANCE,
            0x1008: REQUEST,
        }
    )


def event_request(message_id: int, report: Report) -> bytes:
    """Return the N-EVENT-REPORT-RQ of `report` (PS3.7 10.3.1)."""
    failed = any(each.reason >= 0 for each in report.references)
    return command_set(
        {
            0x0002: SOP_CLASS,
            0x0100: CommandField.N_EVENT_REPORT_RQ,
            0x0110: message_id,
            0x0800: _HAS_DATA_SET,
            0x1000: SOP_INSTANCE,
            0x1002: FAILURES_EXIST if failed else ALL_COMMITTED,
        }
    )


def data_set(report: Report, transfer_syntax: str, action: bool = False) -> bytes:
    """Return the data set of the request (`action`) or of the report, implicit or explicit VR little endian."""
    explicit = transfer_syntax == EXPLICIT_LITTLE
    parts = [_uid(0x1195, report.transaction, explicit)]
    failed = [each for each in report.references if each.reason >= 0]
    good = [each for each in report.references if each.reason < 0]
    if failed and not action:
        parts.append(_sequence(0x1198, failed, explicit, True))
    if good or action:
        parts.append(_sequence(0x1199, list(report.references) if action else good, explicit, False))
    return b"".join(parts)


def _uid(element: int, uid: str, explicit: bool) -> bytes:
    value = uid.encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    head = _SHORT.pack(8, element, b"UI", len(value)) if explicit else _IMPLICIT.pack(8, element, len(value))
    return head + value


def _sequence(element: int, references: list[Reference], explicit: bool, reasons: bool) -> bytes:
    items = []
    for each in references:
        item = _uid(0x1150, each.sop_class, explicit) + _uid(0x1155, each.sop_instance, explicit)
        if reasons:
            head = _SHORT.pack(8, 0x1197, b"US", 2) if explicit else _IMPLICIT.pack(8, 0x1197, 2)
            item += head + struct.pack("<H", each.reason & 0xFFFF)
        items.append(_IMPLICIT.pack(0xFFFE, 0xE000, len(item)) + item)
    body = b"".join(items)
    return (_LONG.pack(8, element, b"SQ", len(body)) if explicit else _IMPLICIT.pack(8, element, len(body))) + body
