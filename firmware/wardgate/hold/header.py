"""The head of a queue file, in clear: what the custody log says of the instance too, so no patient data. Sans-IO.

head     "WGHOLD1\\n" | u32 length | JSON (ASCII)
trailer  JSON: length and SHA-256 of the data set (sealed; see `seal`)

The last word of a head may be `record`: the text of the custody record, as it stands in the log or is to stand there.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final, NamedTuple

from wardgate.hold.seal import Damaged

MAGIC: Final = b"WGHOLD1\n"
MAX_HEAD: Final = 16384
MAX_COMMAND: Final = 4096  # of a C-STORE-RQ; real ones have 100 to 300 bytes
_LENGTH: Final = struct.Struct(">I")
_RECORD: Final = b',"record":{'  # no string can hold it: JSON writes its quotes otherwise
PREFIX_BYTES: Final = len(MAGIC) + _LENGTH.size


class Header(NamedTuple):
    """One held instance. `command`: the C-STORE-RQ as it came; `association`: hex, of the custody records; `time_ns`: UTC."""

    box: str
    link: str
    peer: str
    calling: str
    called: str
    abstract_syntax: str
    transfer_syntax: str
    sop_class: str
    sop_instance: str
    command: str
    association: str
    time_ns: int
    key_name: str
    wrapped: str

    def encode(self, key_name: str, wrapped: str) -> bytes:
        """Return the head of the file of an instance whose key is `wrapped`, hex, under the one of that name."""
        words = "".join((*self[:11], key_name, wrapped))
        if words.isascii() and words.isprintable() and '"' not in words and "\\" not in words:  # nothing that JSON would write otherwise
            text = (
                f'{{"box":"{self.box}","link":"{self.link}","peer":"{self.peer}","calling":"{self.calling}","called":"{self.called}",'
                f'"abstract_syntax":"{self.abstract_syntax}","transfer_syntax":"{self.transfer_syntax}","sop_class":"{self.sop_class}",'
                f'"sop_instance":"{self.sop_instance}","command":"{self.command}","association":"{self.association}",'
                f'"time_ns":{self.time_ns:d},"key_name":"{key_name}","wrapped":"{wrapped}"}}'
            ).encode("ascii")
        else:
            whole = self._replace(key_name=key_name, wrapped=wrapped)
            text = json.dumps(whole._asdict(), separators=(",", ":")).encode("ascii")
        if len(text) > MAX_HEAD:
            raise ValueError(f"a head of {len(text)} bytes")
        return MAGIC + _LENGTH.pack(len(text)) + text


class Trailer(NamedTuple):
    """What is known at the end of a data set: bytes, and SHA-256 in hex as in the custody record."""

    length: int
    sha256: str

    def encode(self) -> bytes:
        """Return the trailer's plain bytes."""
        return f'{{"length":{self.length:d},"sha256":"{self.sha256}"}}'.encode("ascii")


def head_size(prefix: bytes) -> int:
    """Return how many bytes of JSON follow the first `PREFIX_BYTES` of a file. Raises `Damaged`."""
    if len(prefix) != PREFIX_BYTES or not prefix.startswith(MAGIC):
        raise Damaged("the file does not begin as a queue file")
    size = int(_LENGTH.unpack_from(prefix, len(MAGIC))[0])
    if not 2 <= size <= MAX_HEAD:
        raise Damaged(f"the head says {size} bytes")
    return size


def with_record(head: bytes, record: bytes) -> bytes:
    """Return a head that carries the text of its record. Raises `ValueError`: too long."""
    text = head[PREFIX_BYTES:-1] + _RECORD[:-1] + record + b"}"
    if len(text) > MAX_HEAD:
        raise ValueError(f"a head of {len(text)} bytes")
    return MAGIC + _LENGTH.pack(len(text)) + text


def parted(data: bytes) -> tuple[bytes, bytes]:
    """Return the JSON of a head without the record that it carries, and the text of that record (empty: none)."""
    at = data.find(_RECORD)
    return (data, b"") if at < 0 else (data[:at] + b"}", data[at + len(_RECORD) - 1 : -1])


def decode_header(data: bytes) -> Header:
    """Return what the JSON of a head says, but for its record. Raises `Damaged`."""
    found = _decode(parted(data)[0], Header._fields)
    if not all(isinstance(found[name], int if name == "time_ns" else str) for name in Header._fields):
        raise Damaged("the head has a value of a wrong kind")
    return Header(**found)


def decode_trailer(data: bytes) -> Trailer:
    """Return what a trailer says. Raises `Damaged`."""
    found = _decode(data, Trailer._fields)
    if not isinstance(found["length"], int) or not isinstance(found["sha256"], str):
        raise Damaged("the trailer has a value of a wrong kind")
    return Trailer(**found)


def _decode(data: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Damaged("the head or trailer is not JSON") from error
    if not isinstance(found, dict) or set(found) != set(names):
        raise Damaged("the head or trailer has not the words it must have")
    return found
