"""Syslog header and framing (RFC 5424, RFC 5425), read back by a reader that is not ours to send with."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.audit.syslog import encode, frame

HEADER = re.compile(rb"<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (-) (.*)", re.DOTALL)


def unframe(stream: bytes) -> list[bytes]:
    """Read MSG-LEN SP SYSLOG-MSG again and again (RFC 5425 4.3)."""
    found = []
    while stream:
        length, space, rest = stream.partition(b" ")
        assert space and length.isdigit() and length[:1] != b"0"
        found.append(rest[: int(length)])
        assert len(found[-1]) == int(length)
        stream = rest[int(length) :]
    return found


def test_the_shape_is_that_of_the_standard() -> None:
    # PS3.15 A.6: facility 10, severity 5.
    message = encode(1_764_459_845_123_456_789, "ward-ct1", "wardgate", "812", "DICOM+RFC3881", b"<x/>")
    assert message == b"<85>1 2025-11-29T23:44:05.123456Z ward-ct1 wardgate 812 DICOM+RFC3881 - <x/>"
    assert frame(message) == b"%d " % len(message) + message


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.binary(max_size=200))
def test_any_words_leave_a_header_that_can_be_read(host: str, app: str, process: str, msgid: str, body: bytes) -> None:
    message = encode(0, host, app, process, msgid, body)
    match = HEADER.fullmatch(message)
    assert match is not None
    assert all(0x21 <= byte <= 0x7E for number in range(3, 7) for byte in match[number])
    assert match[8] == body


def test_an_empty_word_is_nil() -> None:
    assert encode(0, "", "", "", "", b"") == b"<85>1 1970-01-01T00:00:00.000000Z - - - - - "


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.binary(min_size=1, max_size=400), max_size=20))
def test_messages_come_out_of_the_stream_as_they_went_in(messages: list[bytes]) -> None:
    assert unframe(b"".join(frame(message) for message in messages)) == messages
