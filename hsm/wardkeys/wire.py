"""What the key service and its callers say to each other: one SOCK_SEQPACKET packet is one message, at most 64 KiB.

    request    version u8 = 1 | op u8        | id u32              | fields
    response   version u8 = 1 | op u8 + 0x80 | id u32 | status u16 | fields
    field      length u16 | bytes

All numbers are big-endian. `status` 0 is success, else the number of a code (WGnnn) with a short text in field 0. The caller chooses
`id`, from 1; responses with id 0 come unasked (token states for a watcher, or why a connection is closed). Sans-IO.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

VERSION: Final = 1
MAX_PACKET: Final = 65536
MAX_FIELDS: Final = 8
MAX_DETAIL: Final = 300
ANSWER_BIT: Final = 0x80
REQUEST: Final = struct.Struct("!BBI")
RESPONSE: Final = struct.Struct("!BBIH")
_LENGTH: Final = struct.Struct("!H")
_pack_length = _LENGTH.pack
_unpack_length = _LENGTH.unpack_from


class Op(IntEnum):
    """What a request asks for, with its fields and what success answers."""

    SIGN = 1  # uri, scheme, digest -> signature
    PUBLIC = 2  # uri -> SubjectPublicKeyInfo, DER
    LIST = 3  # uri -> JSON
    CERTIFICATE = 4  # uri -> certificate, DER
    RANDOM = 5  # uri, count u16 -> bytes
    STATUS = 6  # -> JSON
    WATCH = 7  # -> JSON, then JSON with id 0 at each change
    AGREE = 8  # uri, point of the other side (X9.62, uncompressed) -> x coordinate of the shared point (ECDH)
    ISCL_CHALLENGE = 16  # uri, count u8 -> challenge
    ISCL_RESPOND = 17  # uri, key, challenge -> response
    ISCL_VERIFY = 18  # uri, key, challenge, response ->
    ISCL_SESSION_KEY = 19  # uri, key, random -> session key
    ISCL_ENCRYPT = 20  # uri, key, initial vector, data -> data
    ISCL_DECRYPT = 21  # uri, key, initial vector, data -> data
    ISCL_TOKEN_AB = 22  # uri, key, peer's challenge, peer's name -> token, own nonce
    ISCL_TOKEN_BA = 23  # uri, key, key of token AB, own challenge, own name, token AB -> token BA
    ISCL_CHECK_BA = 24  # uri, key, own nonce, peer's challenge, token BA ->
    ISCL_MAC = 25  # uri, key, purpose, data -> AES-CMAC


FIELDS: Final[dict[int, int]] = {
    Op.SIGN: 3,
    Op.PUBLIC: 1,
    Op.LIST: 1,
    Op.CERTIFICATE: 1,
    Op.RANDOM: 2,
    Op.STATUS: 0,
    Op.WATCH: 0,
    Op.AGREE: 2,
    Op.ISCL_CHALLENGE: 2,
    Op.ISCL_RESPOND: 3,
    Op.ISCL_VERIFY: 4,
    Op.ISCL_SESSION_KEY: 3,
    Op.ISCL_ENCRYPT: 4,
    Op.ISCL_DECRYPT: 4,
    Op.ISCL_TOKEN_AB: 4,
    Op.ISCL_TOKEN_BA: 6,
    Op.ISCL_CHECK_BA: 5,
    Op.ISCL_MAC: 4,
}


class WireError(Exception):
    """A packet is not what this protocol says; the connection that sent it is dropped."""


def _encode(head: bytes, fields: Iterable[bytes]) -> bytes:
    parts = [head]
    for field in fields:
        if len(field) > 0xFFFF:
            raise WireError(f"field of {len(field)} bytes, at most 65535")
        parts.append(_pack_length(len(field)))
        parts.append(field)
    packet = b"".join(parts)
    if len(packet) > MAX_PACKET:
        raise WireError(f"packet of {len(packet)} bytes, at most {MAX_PACKET}")
    return packet


def _fields(packet: bytes, offset: int) -> list[bytes]:
    fields: list[bytes] = []
    end = len(packet)
    while offset < end:
        if end - offset < 2:
            raise WireError(f"one byte left at byte {offset}, a length has two")
        (length,) = _unpack_length(packet, offset)
        offset += 2
        if length > end - offset:
            raise WireError(f"field of {length} bytes at byte {offset}, the packet has {end - offset} left")
        if len(fields) == MAX_FIELDS:
            raise WireError(f"more than {MAX_FIELDS} fields")
        fields.append(packet[offset : offset + length])
        offset += length
    return fields


def encode_request(op: int, number: int, fields: Sequence[bytes]) -> bytes:
    """Return a request. Raises `WireError` when it does not fit a packet."""
    return _encode(REQUEST.pack(VERSION, op, number), fields)


def decode_request(packet: bytes) -> tuple[int, int, list[bytes]]:
    """Return (op, id, fields). Raises `WireError`; an op that is not known is no wire error, a wrong count of fields is."""
    if len(packet) < REQUEST.size or len(packet) > MAX_PACKET:
        raise WireError(f"request of {len(packet)} bytes")
    version, op, number = REQUEST.unpack_from(packet)
    if version != VERSION:
        raise WireError(f"version {version}, this is {VERSION}")
    if op & ANSWER_BIT or not number:
        raise WireError(f"no request: op {op:#x}, id {number}")
    fields = _fields(packet, REQUEST.size)
    if len(fields) != FIELDS.get(op, len(fields)):
        raise WireError(f"op {op} has {FIELDS[op]} fields, not {len(fields)}")
    return op, number, fields


def encode_response(op: int, number: int, status: int, fields: Sequence[bytes]) -> bytes:
    """Return a response. Raises `WireError` when it does not fit a packet."""
    return _encode(RESPONSE.pack(VERSION, op | ANSWER_BIT, number, status), fields)


def encode_failure(op: int, number: int, status: int, detail: str) -> bytes:
    """Return the response to a request that failed; `detail` is cut to `MAX_DETAIL` bytes."""
    return encode_response(op, number, status, [detail.encode("utf-8", "replace")[:MAX_DETAIL]])


def decode_response(packet: bytes) -> tuple[int, int, int, list[bytes]]:
    """Return (op, id, status, fields). Raises `WireError`."""
    if len(packet) < RESPONSE.size or len(packet) > MAX_PACKET:
        raise WireError(f"response of {len(packet)} bytes")
    version, op, number, status = RESPONSE.unpack_from(packet)
    if version != VERSION:
        raise WireError(f"version {version}, this is {VERSION}")
    if not op & ANSWER_BIT:
        raise WireError(f"no response: op {op:#x}")
    fields = _fields(packet, RESPONSE.size)
    if status and not fields:
        raise WireError(f"status {status} without a text")
    return op & ~ANSWER_BIT, number, status, fields
