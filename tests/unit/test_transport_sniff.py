"""What arrived on the wrong port gets its name; what belongs there gets none."""

from __future__ import annotations

import pytest

from wardgate.codes import Code
from wardgate.policy.model import Transport
from wardgate.transport.sniff import classify

RQ = b"\x01\x00\x00\x00\x00\xcd\x00\x01"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01"
PLAIN, TLS = Transport.PLAIN, Transport.TLS


@pytest.mark.parametrize(
    ("first", "on_plain", "on_tls"),
    [
        (b"", Code.SILENT_CLIENT, Code.SILENT_CLIENT),
        (RQ, None, Code.CLEAR_ON_TLS_PORT),
        (b"\x02\x00\x00\x00\x00\xb8", None, Code.CLEAR_ON_TLS_PORT),  # an A-ASSOCIATE-AC, on an outgoing leg
        (b"\x07\x00\x00\x00\x00\x04", None, Code.CLEAR_ON_TLS_PORT),
        (HELLO, Code.TLS_ON_CLEAR_PORT, None),
        (b"\x15\x03\x03\x00\x02\x02\x28", Code.TLS_ON_CLEAR_PORT, None),
        (b"GET / HTTP/1.1", Code.HTTP_ON_DICOM_PORT, Code.HTTP_ON_DICOM_PORT),
        (b"PRI * HTTP/2.0", Code.HTTP_ON_DICOM_PORT, Code.HTTP_ON_DICOM_PORT),
        (b"HTTP/1.1 400 Bad", Code.HTTP_ON_DICOM_PORT, Code.HTTP_ON_DICOM_PORT),
        (b"SSH-2.0-OpenSSH", Code.SSH_ON_DICOM_PORT, Code.SSH_ON_DICOM_PORT),
        (b"\x80\x2e\x01\x03\x01\x00", Code.OBSOLETE_TLS_HELLO, Code.OBSOLETE_TLS_HELLO),
        (b"\xff\xfe\xfd\xfc", Code.GARBAGE_ON_PORT, Code.GARBAGE_ON_PORT),
        (b"\x01\x00\xff\xff\xff\xff", Code.GARBAGE_ON_PORT, Code.GARBAGE_ON_PORT),
    ],
)
def test_first_bytes_are_named(first: bytes, on_plain: Code | None, on_tls: Code | None) -> None:
    assert classify(first, PLAIN) is on_plain
    assert classify(first, TLS) is on_tls


@pytest.mark.parametrize("whole", [RQ, HELLO])
def test_a_right_greeting_is_never_named_however_little_of_it_came(whole: bytes) -> None:
    right = PLAIN if whole is RQ else TLS
    assert [classify(whole[:count], right) for count in range(1, len(whole) + 1)] == [None] * len(whole)


def test_one_byte_decides_nothing() -> None:
    assert {classify(bytes([byte]), expected) for byte in range(256) for expected in (PLAIN, TLS)} == {None}
