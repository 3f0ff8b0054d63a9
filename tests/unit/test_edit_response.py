"""The `response` edit changes two bytes of a response, or none."""

from __future__ import annotations

import struct

import pytest

from support.command_sets import element, store_response
from wardgate.dimse.command import CommandError, parse
from wardgate.edit import EditError
from wardgate.edit.response import replace_status

RESPONSE = store_response(7, 0x0000)


def test_status_is_replaced_and_every_other_byte_stays() -> None:
    edited = replace_status(RESPONSE, 0xA700)
    assert parse(edited).status == 0xA700
    assert edited == store_response(7, 0xA700)
    assert [at for at in range(len(edited)) if edited[at] != RESPONSE[at]] == [parse(RESPONSE).status_offset + 1]


def test_bytearray_is_not_changed_in_place() -> None:
    given = bytearray(RESPONSE)
    edited = replace_status(given, 0xA700)
    assert isinstance(edited, bytes) and given == RESPONSE


def test_status_that_is_there_already_leaves_the_very_same_object() -> None:
    assert replace_status(RESPONSE, 0x0000) is RESPONSE


def test_request_has_no_status_to_replace() -> None:
    request = element(0x0100, struct.pack("<H", 0x30)) + element(0x0110, b"\1\0") + element(0x0800, b"\1\1")
    with pytest.raises(EditError, match="no status"):
        replace_status(request, 0xA700)


@pytest.mark.parametrize("status", [-1, 0x10000])
def test_number_that_is_no_status_is_our_own_mistake(status: int) -> None:
    with pytest.raises(EditError, match="not a status"):
        replace_status(RESPONSE, status)


def test_command_set_that_cannot_be_read_is_not_edited() -> None:
    with pytest.raises(CommandError):
        replace_status(RESPONSE[:-1], 0xA700)


def test_pydicom_reads_the_edited_response() -> None:
    pytest.importorskip("pynetdicom")
    from io import BytesIO

    from pynetdicom.dsutils import decode

    data = decode(BytesIO(replace_status(RESPONSE, 0xA700)), True, True)
    assert (data.Status, data.MessageIDBeingRespondedTo, data.CommandField) == (0xA700, 7, 0x8001)
