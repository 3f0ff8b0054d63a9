"""Names what arrived when the first bytes of a connection are not what the port declares. Never switches transport."""

from __future__ import annotations

from typing import Final

from wardgate.codes import Code
from wardgate.policy.model import Transport

ENOUGH: Final = 8  # with this many bytes the answer is final

_TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")  # alert, handshake; major version 3 since SSL 3.0
_HTTP: Final = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ", b"TRACE ", b"PATCH ", b"PRI * ", b"HTTP/")
_SSH: Final = b"SSH-"


def classify(first: bytes, expected: Transport) -> Code | None:
    """Name the mismatch between the `first` bytes of a connection (empty: silence) and its declared transport; None: no mismatch so far.

    For both directions: the peer's answer on an outgoing leg is judged like a caller's greeting.
    """
    if not first:
        return Code.SILENT_CLIENT
    tls, dicom = _may_be_tls(first), _may_be_dicom(first)
    if tls if expected is Transport.TLS else dicom:
        return None
    if tls and len(first) >= 2:
        return Code.TLS_ON_CLEAR_PORT
    if dicom and len(first) >= 2:
        return Code.CLEAR_ON_TLS_PORT
    for sign, code in ((_HTTP, Code.HTTP_ON_DICOM_PORT), ((_SSH,), Code.SSH_ON_DICOM_PORT)):
        for word in sign:
            if first.startswith(word) or word.startswith(first):
                return code if len(first) >= min(len(word), 4) else None
    # SSL 2.0 ClientHello: two bytes of length with the top bit set, message type 1, version.
    if len(first) >= 4 and first[0] & 0x80 and first[2] == 1 and first[3] in (0, 2, 3):
        return Code.OBSOLETE_TLS_HELLO
    return Code.GARBAGE_ON_PORT if len(first) >= 4 else None


def _may_be_tls(first: bytes) -> bool:
    return first[:2] in _TLS_RECORDS or first == _TLS_RECORDS[0][:1] or first == _TLS_RECORDS[1][:1]


def _may_be_dicom(first: bytes) -> bool:
    """PS3.8 9.3.1: PDU type 1 to 7, a reserved byte sent as 00, length; no first PDU of a DICOM peer reaches 256 MiB."""
    return 1 <= first[0] <= 7 and first[1:2] in (b"", b"\x00") and first[2:3] < b"\x10"
