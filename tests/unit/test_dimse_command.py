"""Command sets are read as PS3.7 says, those of old modalities too; what two readers could read differently is refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.command_sets import CT, INSTANCE, command_set, element, store_request, store_response, us
from wardgate.codes import Code
from wardgate.dimse.command import MAX_BYTES, CommandError, CommandField, parse

CT_UID = "1.2.840.10008.5.1.4.1.1.2"
INSTANCE_UID = "1.2.826.0.1.3680043.8.498.7"


def test_store_request_is_read() -> None:
    command = parse(store_request(0xABCD))
    assert command.is_request and command.is_store_request and not command.is_response and not command.is_store_response
    assert (command.command_field, command.message_id, command.message_id_responded) == (CommandField.C_STORE_RQ, 0xABCD, -1)
    assert (command.sop_class, command.sop_instance, command.has_data_set) == (CT_UID, INSTANCE_UID, True)
    assert (command.status, command.status_offset, command.name) == (-1, -1, "C-STORE-RQ")


def test_store_response_is_read_and_its_status_found() -> None:
    data = store_response(7, 0xB007)
    command = parse(bytearray(data))
    assert command.is_response and command.is_store_response and not command.is_request
    assert (command.message_id_responded, command.status, command.has_data_set) == (7, 0xB007, False)
    assert data[command.status_offset : command.status_offset + 2] == b"\x07\xb0"


# Message class of pynetdicom, what it says, what we must find.
MESSAGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("C_STORE_RQ", {"AffectedSOPClassUID": CT_UID, "AffectedSOPInstanceUID": "1.2.3", "MessageID": 1}, {"sop_instance": "1.2.3"}),
    ("C_STORE_RSP", {"MessageIDBeingRespondedTo": 1, "Status": 0xA700}, {"status": 0xA700}),
    ("C_ECHO_RQ", {"AffectedSOPClassUID": "1.2.840.10008.1.1", "MessageID": 65535}, {"message_id": 65535}),
    ("C_ECHO_RSP", {"MessageIDBeingRespondedTo": 65535, "Status": 0}, {"message_id_responded": 65535, "status": 0}),
    ("C_FIND_RQ", {"AffectedSOPClassUID": "1.2", "MessageID": 2}, {"sop_class": "1.2", "has_data_set": True}),
    ("C_FIND_RSP", {"MessageIDBeingRespondedTo": 2, "Status": 0xFF00}, {"status": 0xFF00, "has_data_set": True}),
    ("C_GET_RQ", {"MessageID": 3}, {"message_id": 3, "has_data_set": True}),
    ("C_MOVE_RQ", {"MessageID": 4, "MoveDestination": "ANY"}, {"message_id": 4, "has_data_set": True}),
    ("C_MOVE_RSP", {"MessageIDBeingRespondedTo": 4, "Status": 0xFE00}, {"status": 0xFE00}),
    ("C_CANCEL_RQ", {"MessageIDBeingRespondedTo": 4}, {"message_id_responded": 4, "is_cancel": True, "is_request": True}),
    ("N_EVENT_REPORT_RQ", {"AffectedSOPClassUID": "1.2", "MessageID": 5, "EventTypeID": 2}, {"type_id": 2, "name": "N-EVENT-REPORT-RQ"}),
    ("N_ACTION_RQ", {"RequestedSOPClassUID": "1.3", "RequestedSOPInstanceUID": "1.4", "MessageID": 6, "ActionTypeID": 1}, {"type_id": 1}),
    (
        "N_SET_RQ",
        {"RequestedSOPClassUID": "1.3", "RequestedSOPInstanceUID": "1.4", "MessageID": 6},
        {"sop_class": "1.3", "sop_instance": "1.4"},
    ),
    ("N_CREATE_RSP", {"AffectedSOPInstanceUID": "1.4", "MessageIDBeingRespondedTo": 6, "Status": 0x0107}, {"status": 0x0107}),
    ("N_DELETE_RQ", {"RequestedSOPClassUID": "1.3", "RequestedSOPInstanceUID": "1.4", "MessageID": 8}, {"has_data_set": False}),
]
WITH_DATA = {"C_STORE_RQ", "C_FIND_RQ", "C_FIND_RSP", "C_GET_RQ", "C_MOVE_RQ", "N_EVENT_REPORT_RQ", "N_ACTION_RQ", "N_SET_RQ"}


@pytest.mark.parametrize("name, said, found", MESSAGES, ids=[name for name, _, _ in MESSAGES])
def test_command_set_of_pynetdicom_is_read(name: str, said: dict[str, Any], found: dict[str, Any]) -> None:
    messages = pytest.importorskip("pynetdicom.dimse_messages")
    from pydicom.dataset import Dataset
    from pynetdicom.dsutils import encode

    field = CommandField[name]
    data = Dataset()
    data.CommandGroupLength = 0
    data.CommandField = int(field)
    data.CommandDataSetType = 1 if name in WITH_DATA else 0x0101
    for keyword, value in said.items():
        setattr(data, keyword, value)
    data.CommandGroupLength = len(encode(data, True, True) or b"") - 12
    assert hasattr(messages, name)  # theirs and ours name the same message
    command = parse(encode(data, True, True) or b"")
    assert command.command_field == field
    for attribute, value in found.items():
        assert getattr(command, attribute) == value, attribute


def test_names_of_all_fields_are_the_standards() -> None:
    assert CommandField.N_EVENT_REPORT_RSP == 0x8100
    for field in CommandField:
        response = field >= 0x8000
        assert field.name.endswith("_RSP") == response
        assert not response or CommandField(field - 0x8000).name == field.name[:-3] + "RQ"


def test_field_that_no_one_defined_is_still_followed() -> None:
    command = parse(us(0x0100, 0x0777) + us(0x0110, 1) + us(0x0800, 1))
    assert command.is_request and command.has_data_set and command.name == "0777H"


BODY = [element(0x0002, CT), us(0x0100, 1), us(0x0110, 9), us(0x0800, 1), element(0x1000, INSTANCE)]
ODD = {
    "no group length": b"".join(BODY),
    "wrong group length": element(0, b"\1\0\0\0") + b"".join(BODY),
    "group length of 2 bytes": element(0, b"\1\0") + b"".join(BODY),
    "elements out of order": b"".join(reversed(BODY)),
    "UID padded with a blank": command_set(element(0x0002, CT[:-1] + b" "), *BODY[1:]),
    "UID padded with blanks and NULs": command_set(element(0x0002, CT[:-1] + b" \0 \0"), *BODY[1:]),
    "UID of odd length": command_set(element(0x0002, CT[:-1]), *BODY[1:]),
    "element of odd length between": command_set(*BODY[:2], element(0x0600, b"ABC"), *BODY[2:]),
    "retired length to end": command_set(element(0x0001, b"\0\0\0\0"), *BODY),
}


@pytest.mark.parametrize("name", ODD)
def test_what_old_modalities_send_is_taken(name: str) -> None:
    command = parse(ODD[name])
    assert (command.sop_class, command.sop_instance, command.message_id) == (CT_UID, INSTANCE_UID, 9)


WRONG = {
    "nothing": (b"", 0, "E.1", "command field"),
    "element header cut": (us(0x0100, 1) + b"\0\0\0\0\0\0\0", 10, "6.3.1", "7 bytes are left"),
    "value cut": (us(0x0100, 1)[:-1], 4, "6.3.1", "says 2 bytes, 1 are left"),
    "length of 4 GiB": (struct.pack("<HHI", 0, 0x0002, 0xFFFFFFFF) + b"1.2", 4, "6.3.1", "says 4294967295"),
    "length one too long": (us(0x0100, 1) + struct.pack("<HHI", 0, 0x0600, 4) + b"abc", 14, "6.3.1", "says 4 bytes, 3"),
    "another group": (us(0x0100, 1) + element(0x0020, b"x", 8), 10, "6.3.1", "group 0008"),
    "big endian": (bytes.fromhex("0000000000000004"), 4, "6.3.1", "are left"),
    "command field of 4 bytes": (element(0x0100, bytes(4)), 4, "E.1", "must have 2"),
    "empty status": (element(0x0900, b""), 4, "E.1", "must have 2"),
    "command field twice": (us(0x0100, 1) + us(0x0100, 0x8001), 10, "6.3.1", "stands twice"),
    "status twice": (us(0x0900, 0) + us(0x0900, 0xA700), 10, "6.3.1", "stands twice"),
    "SOP Instance UID twice": (element(0x1000, b"") + element(0x1000, INSTANCE), 8, "6.3.1", "stands twice"),
    "UID too long": (element(0x1000, b"1" * 66), 4, "9.1", "64 is the most"),
    "no data set type": (us(0x0100, 0x30) + us(0x0110, 1), 20, "E.1", "(0000,0800)"),
    "request without message ID": (us(0x0100, 0x30) + us(0x0800, 0x0101), 20, "E.1", "(0000,0110)"),
    "response without message ID": (us(0x0100, 0x8001) + us(0x0800, 0x0101) + us(0x0900, 0), 30, "E.1", "(0000,0120)"),
    "response without status": (us(0x0100, 0x8001) + us(0x0800, 0x0101) + us(0x0120, 0), 30, "E.1", "(0000,0900)"),
    "cancel of nothing": (us(0x0100, 0x0FFF) + us(0x0800, 0x0101), 20, "9.3.2.3", "(0000,0120)"),
    "store without instance": (b"".join(BODY[:-1]), 64, "9.3.1.1", "without SOP"),
    "store of nothing": (b"".join([*BODY[:3], us(0x0800, 0x0101), BODY[4]]), 100, "9.3.1.1", "no data set"),
    "longer than the bound": (bytes(MAX_BYTES + 1), MAX_BYTES, "6.3.1", "at most 65536"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_command_set_is_refused_at_its_byte_with_its_clause(name: str) -> None:
    data, offset, clause, words = WRONG[name]
    with pytest.raises(CommandError) as caught:
        parse(data)
    assert (caught.value.offset, caught.value.clause.split()[1]) == (offset, clause)
    assert words in caught.value.message
    assert caught.value.code is Code.DIMSE_INVALID


def test_uid_of_64_characters_is_taken_padded_or_not() -> None:
    uid = "1." + "2" * 62
    for raw in (uid.encode(), uid.encode() + b"\0"):
        assert parse(command_set(element(0x0002, raw), *BODY[1:])).sop_class == uid


def test_uid_that_is_not_ascii_is_still_text() -> None:
    assert parse(command_set(element(0x0002, b"1.\xff"), *BODY[1:])).sop_class == r"1.\xff"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.tuples(st.permutations(BODY), st.integers(0, 130), st.binary(max_size=3)).map(
            lambda parts: (whole := b"".join(parts[0]))[: parts[1]] + parts[2] + whole[parts[1] + len(parts[2]) :]
        ),
    )
)
def test_any_bytes_are_read_or_refused_at_a_byte(data: bytes) -> None:
    refused = None
    try:
        parse(data)
    except CommandError as error:
        refused = error
    assert refused is None or 0 <= refused.offset <= len(data)
