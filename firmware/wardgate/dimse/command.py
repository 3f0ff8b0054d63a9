"""The command set of a message: what the gateway must know of it, and where its status lies (PS3.7 6.3, annex E.1).

Always implicit VR little endian, group 0000. This runs for every message, so it is one pass without objects for elements.
Old modalities leave the group length out or compute it wrongly, mix the order, and pad UIDs with blanks: taken. A length that
passes the end, an element that stands twice or one of another group is not: there two readers would see two things.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from operator import itemgetter
from typing import Final

from wardgate.codes import Code

MAX_BYTES: Final = 65536  # PS3.7 gives no bound; real command sets have 100 to 300 bytes
UID_MAX: Final = 64  # PS3.5 9.1
NO_DATA_SET: Final = 0x0101  # PS3.7 E.1, (0000,0800)
_RESPONSE: Final = 0x8000  # bit of the command field

# Group and element as one number, length, and the first two bytes of the value, which is all of a US: one call an element.
_ELEMENT: Final = struct.Struct("<IIH").unpack_from
_BARE: Final = struct.Struct("<II").unpack_from


class CommandField(IntEnum):
    """(0000,0100), PS3.7 E.1."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


_STORE_RQ: Final = int(CommandField.C_STORE_RQ)
_STORE_RSP: Final = int(CommandField.C_STORE_RSP)
_CANCEL_RQ: Final = int(CommandField.C_CANCEL_RQ)


class CommandError(Exception):
    """The peer sent a command set that cannot be read: `offset` in bytes from 0 in the command set, `clause`, `message`, `code`."""

    code = Code.DIMSE_INVALID

    def __init__(self, offset: int, clause: str, message: str) -> None:
        super().__init__(f"command set byte {offset}: {message} ({clause})")
        self.offset = offset
        self.clause = clause
        self.message = message


class Command:
    """What `parse` found. Numbers are -1 and UIDs empty when their element is missing; `status_offset` counts bytes from 0.

    `sop_class` and `sop_instance` are the affected ones or else the requested ones: no message has both.
    `type_id` is the Event Type ID or Action Type ID.
    """

    __slots__ = (
        "command_field",
        "has_data_set",
        "message_id",
        "message_id_responded",
        "sop_class",
        "sop_instance",
        "status",
        "status_offset",
        "type_id",
    )

    def __init__(
        self,
        command_field: int,
        message_id: int,
        message_id_responded: int,
        sop_class: str,
        sop_instance: str,
        type_id: int,
        has_data_set: bool,
        status: int,
        status_offset: int,
    ) -> None:
        self.command_field = command_field
        self.message_id = message_id
        self.message_id_responded = message_id_responded
        self.sop_class = sop_class
        self.sop_instance = sop_instance
        self.type_id = type_id
        self.has_data_set = has_data_set
        self.status = status
        self.status_offset = status_offset

    @property
    def is_request(self) -> bool:
        """Tell a request (C-CANCEL too) from a response."""
        return not self.command_field & _RESPONSE

    @property
    def is_response(self) -> bool:
        """Tell a response from a request."""
        return bool(self.command_field & _RESPONSE)

    @property
    def is_store_request(self) -> bool:
        """Tell a C-STORE-RQ."""
        return self.command_field == _STORE_RQ

    @property
    def is_store_response(self) -> bool:
        """Tell a C-STORE-RSP."""
        return self.command_field == _STORE_RSP

    @property
    def is_cancel(self) -> bool:
        """Tell a C-CANCEL-RQ, which has no message ID of its own and no response."""
        return self.command_field == _CANCEL_RQ

    @property
    def name(self) -> str:
        """Return the message in the standard's words, such as `C-STORE-RQ`, or the number of an unknown one."""
        try:
            return CommandField(self.command_field).name.replace("_", "-")
        except ValueError:
            return f"{self.command_field:04X}H"

    def __repr__(self) -> str:
        return f"Command({self.name}, id={self.message_id}, responded={self.message_id_responded}, status={self.status:#06x})"


_FREQUENT: Final = frozenset({CommandField.C_STORE_RQ, CommandField.C_STORE_RSP, CommandField.C_ECHO_RQ, CommandField.C_ECHO_RSP})
_MAX_LAYOUTS: Final = 64
_MAX_PER_LENGTH: Final = 4
_READ_TAGS: Final = (0x01000000, 0x01100000, 0x01200000, 0x08000000, 0x09000000, 0x00020000, 0x10000000)


class Layout:
    """Which elements of which lengths a command set has: enough to read the next one of its kind without looking for them.

    Only the message ID, status and UIDs may differ; every tag, every length, the command field and the data set type must be the same.
    """

    __slots__ = (
        "_field",
        "_field_at",
        "_field_high",
        "_fixed",
        "_fixed_values",
        "_free",
        "_has_data_set",
        "_has_id",
        "_has_responded",
        "_status_offset",
        "_unpack",
    )

    def __init__(self, data: bytes | bytearray, command: Command) -> None:
        pieces = ["<"]
        fixed: list[int] = []  # places in the unpacked tuple that must stay
        free = dict.fromkeys(_READ_TAGS, -1)
        at = place = 0
        while at < len(data):
            tag, length = _BARE(data, at)
            if tag == 0x01000000:
                self._field_at = at + 9  # its high byte tells a request from a response
                self._field_high = data[at + 9]
            pieces.append("II")
            fixed += (place, place + 1)
            place += 2
            if tag in free:
                pieces.append("H" if length == 2 and tag not in (0x00020000, 0x10000000) else f"{length}s")
                free[tag] = place
                place += 1
            else:
                pieces.append(f"{length}x")
            at += 8 + length
        fixed += (free[0x01000000], free[0x08000000])
        self._unpack = struct.Struct("".join(pieces)).unpack
        self._fixed = itemgetter(*fixed)
        self._fixed_values = self._fixed(self._unpack(data))
        # An element that is not there is read from the command field and thrown away.
        wanted = (0x01100000, 0x01200000, 0x00020000, 0x10000000, 0x09000000)
        self._free = itemgetter(*(free[tag] if free[tag] >= 0 else free[0x01000000] for tag in wanted))
        self._has_id = free[0x01100000] >= 0
        self._has_responded = free[0x01200000] >= 0
        self._field = command.command_field
        self._has_data_set = command.has_data_set
        self._status_offset = command.status_offset

    def read(self, data: bytes | bytearray) -> Command | None:
        """Return the command set, which has the length of this layout, or `None` when it has another layout."""
        if data[self._field_at] != self._field_high:
            return None
        values = self._unpack(data)
        if self._fixed(values) != self._fixed_values:
            return None
        message_id, responded, sop_class, sop_instance, status = self._free(values)
        command = Command(
            self._field,
            message_id if self._has_id else -1,
            responded if self._has_responded else -1,
            sop_class.rstrip(b"\0 ").decode("ascii", "backslashreplace") if sop_class.__class__ is bytes else "",
            sop_instance.rstrip(b"\0 ").decode("ascii", "backslashreplace") if sop_instance.__class__ is bytes else "",
            -1,
            self._has_data_set,
            status if self._status_offset >= 0 else -1,
            self._status_offset,
        )
        if self._field == _STORE_RQ and not (command.sop_class and command.sop_instance):
            return None
        return command


_layouts: dict[int, tuple[Layout, ...]] = {}


def parse(data: bytes | bytearray) -> Command:
    """Read one whole command set. Raises `CommandError`; allocates nothing but the UIDs.

    One peer sends the same elements in the same order again and again: a layout seen before is read in one call.
    """
    known = _layouts.get(len(data), ())
    for layout in known:  # a request and its response are often of one length
        command = layout.read(data)
        if command is not None:
            return command
    command = _parse(data)
    if command.command_field in _FREQUENT:
        if len(_layouts) >= _MAX_LAYOUTS:
            _layouts.clear()
        _layouts[len(data)] = (Layout(data, command), *known)[:_MAX_PER_LENGTH]
    return command


def _parse(data: bytes | bytearray) -> Command:
    end = len(data)
    if end > MAX_BYTES:
        raise CommandError(MAX_BYTES, "PS3.7 6.3.1", f"the command set has {end} bytes; at most {MAX_BYTES} are taken")
    field = message_id = responded = data_set_type = status = status_offset = type_id = -1
    affected_class = requested_class = affected_instance = requested_instance = None
    at = 0
    while at < end:
        value = at + 8
        if end - at >= 10:
            tag, length, number = _ELEMENT(data, at)
        elif end >= value:
            tag, length = _BARE(data, at)
            number = -1
        else:
            raise CommandError(at, "PS3.7 6.3.1", f"{end - at} bytes are left where an element of 8 bytes at least must stand")
        at = value + length
        if at > end:
            raise CommandError(value - 4, "PS3.7 6.3.1", f"element {_shown(tag)} says {length} bytes, {end - value} are left")
        # The element number is in the upper half of the tag; the order is that in which they come.
        if tag == 0x00020000:
            affected_class = _uid(data, value, at, affected_class, tag)
        elif tag == 0x01000000:
            if length != 2 or field >= 0:
                raise _bad_us(value, length, tag)
            field = number
        elif tag == 0x01100000:
            if length != 2 or message_id >= 0:
                raise _bad_us(value, length, tag)
            message_id = number
        elif tag == 0x01200000:
            if length != 2 or responded >= 0:
                raise _bad_us(value, length, tag)
            responded = number
        elif tag == 0x08000000:
            if length != 2 or data_set_type >= 0:
                raise _bad_us(value, length, tag)
            data_set_type = number
        elif tag == 0x09000000:
            if length != 2 or status >= 0:
                raise _bad_us(value, length, tag)
            status = number
            status_offset = value
        elif tag == 0x10000000:
            affected_instance = _uid(data, value, at, affected_instance, tag)
        elif tag == 0x00030000:
            requested_class = _uid(data, value, at, requested_class, tag)
        elif tag == 0x10010000:
            requested_instance = _uid(data, value, at, requested_instance, tag)
        elif tag in (0x10020000, 0x10080000):
            if length != 2 or type_id >= 0:
                raise _bad_us(value, length, tag)
            type_id = number
        elif tag & 0xFFFF:
            raise CommandError(value - 8, "PS3.7 6.3.1", f"group {tag & 0xFFFF:04X} in a command set, which has group 0000 only")
    command = Command(
        field,
        message_id,
        responded,
        affected_class or requested_class or "",
        affected_instance or requested_instance or "",
        type_id,
        data_set_type != NO_DATA_SET,
        status,
        status_offset,
    )
    _check(command, field, data_set_type, end)
    return command


def _shown(tag: int) -> str:
    return f"({tag & 0xFFFF:04X},{tag >> 16:04X})"


def _bad_us(value: int, length: int, tag: int) -> CommandError:
    if length != 2:
        return CommandError(value - 4, "PS3.7 E.1", f"element {_shown(tag)} has {length} bytes and must have 2")
    return CommandError(value - 8, "PS3.7 6.3.1", f"element {_shown(tag)} stands twice")


def _uid(data: bytes | bytearray, start: int, end: int, before: str | None, tag: int) -> str:
    if before is not None:
        raise CommandError(start - 8, "PS3.7 6.3.1", f"element {_shown(tag)} stands twice")
    if end - start > UID_MAX + 1:  # one byte of padding when somebody pads a UID of 64 too
        raise CommandError(start - 4, "PS3.5 9.1", f"the UID in {_shown(tag)} has {end - start} bytes; 64 is the most")
    return data[start:end].decode("ascii", "backslashreplace").rstrip("\0 ")


def _check(command: Command, field: int, data_set_type: int, end: int) -> None:
    """Raise `CommandError` if an element is missing without which the message cannot be followed (PS3.7 9.3, 10.3)."""
    if field < 0:
        raise CommandError(end, "PS3.7 E.1", "the command field (0000,0100) is missing")
    if data_set_type < 0:
        raise CommandError(end, "PS3.7 E.1", "the command data set type (0000,0800) is missing")
    if field & _RESPONSE:
        if command.message_id_responded < 0:
            raise CommandError(end, "PS3.7 E.1", "a response without the message ID that it answers (0000,0120)")
        if command.status < 0:
            raise CommandError(end, "PS3.7 E.1", "a response without status (0000,0900)")
        return
    if field == _CANCEL_RQ:
        if command.message_id_responded < 0:
            raise CommandError(end, "PS3.7 9.3.2.3", "a C-CANCEL-RQ without the message ID that it cancels (0000,0120)")
        return
    if command.message_id < 0:
        raise CommandError(end, "PS3.7 E.1", "a request without message ID (0000,0110)")
    if field == _STORE_RQ:
        if not command.sop_class or not command.sop_instance:
            raise CommandError(end, "PS3.7 9.3.1.1", "a C-STORE-RQ without SOP Class or SOP Instance UID")
        if data_set_type == NO_DATA_SET:
            raise CommandError(end, "PS3.7 9.3.1.1", "a C-STORE-RQ that announces no data set")
