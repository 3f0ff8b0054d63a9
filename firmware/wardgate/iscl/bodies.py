"""Headers and bodies to bytes and back, under one `Reconstruction`."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.layout import LAYOUT, MAX_FIELD_BYTES, PASSES, WITH_OPTION, Kind
from wardgate.iscl.reconstruction import ByteOrder, OptionPlace, Reconstruction
from wardgate.iscl.terms import HEADER_BYTES, MAX_NAME_BYTES, MessageId

Value = int | bytes
# Bodies that are nothing but 32-bit integers: most of what passes between two messages of a busy line.
_NUMBERS: Final = {
    message_id: tuple(name for name, _kind in fields)
    for message_id, fields in LAYOUT.items()
    if fields and all(kind is Kind.U32 for _name, kind in fields) and message_id not in WITH_OPTION
}
_PLAIN: Final = {(order, size): struct.Struct(f"{order.value}{size}I") for order in ByteOrder for size in range(1, 5)}
_HEADER: Final = {order: struct.Struct(f"{order.value}8I") for order in ByteOrder}
_WORD: Final = {order: struct.Struct(f"{order.value}I") for order in ByteOrder}


class Header(NamedTuple):
    """The 32 bytes in front of each body, in the order of the wire."""

    indicator: int
    message_id: int
    length: int  # bytes that follow
    option: int
    time_stamp: int
    error_number: int
    reserved_1: int
    reserved_2: int


class Message(NamedTuple):
    """A decoded message; `fields` by the names of `layout`."""

    id: MessageId
    option: int
    fields: dict[str, Value]

    def number(self, name: str) -> int:
        """Return a `u32` field."""
        value = self.fields[name]
        assert isinstance(value, int)
        return value

    def octets(self, name: str) -> bytes:
        """Return a field of bytes."""
        value = self.fields[name]
        assert isinstance(value, bytes)
        return value


class Codec:
    """Writes and reads under one reconstruction. `wide`: challenges and responses have a length (extension methods)."""

    __slots__ = ("_header", "_in_body", "_r1", "_swap", "_word", "_words", "wide")

    def __init__(self, reconstruction: Reconstruction, wide: bool = False) -> None:
        self._r1 = reconstruction
        self._header = _HEADER[reconstruction.byte_order]
        self._word = _WORD[reconstruction.byte_order]
        self._swap = reconstruction.swap_64bit
        self._in_body = reconstruction.option_place is OptionPlace.BODY
        self._words = {size: _PLAIN[reconstruction.byte_order, size] for size in range(1, 5)}
        self.wide = wide

    def header(self, message_id: MessageId, length: int, option: int = 0) -> bytes:
        """Return the 32 bytes of a header."""
        return self._header.pack(0, message_id, length, option, 0, 0, 0, 0)

    def read_header(self, data: bytes | bytearray | memoryview, at: int = 0) -> Header:
        """Return the header at `at`, unjudged."""
        return Header._make(self._header.unpack_from(data, at))

    def option(self, message_id: MessageId, body: bytes | memoryview, header: Header) -> tuple[int, bytes | memoryview]:
        """Return the option and the body without it."""
        if not self._in_body or message_id not in WITH_OPTION:
            return header.option, body
        if len(body) < 4:
            raise IsclError(Condition.BAD_LENGTH, message_id.name)
        return self._word.unpack_from(body, len(body) - 4)[0], body[: len(body) - 4]

    def encode(self, message_id: MessageId, option: int = 0, **fields: Value) -> bytes:
        """Return a whole message, header and body."""
        names = _NUMBERS.get(message_id)
        if names is not None:
            size = len(names)
            head = self._header.pack(0, message_id, 4 * size, option, 0, 0, 0, 0)
            return head + self._words[size].pack(*[fields[name] for name in names])
        parts = []
        for name, kind in LAYOUT[message_id]:
            value = fields[name]
            if isinstance(value, int):
                parts.append(self._word.pack(value))
            elif kind is Kind.BYTES or (kind is Kind.EIGHT and self.wide and message_id in PASSES):
                parts += (self._word.pack(len(value)), value)
            else:
                parts.append(value[::-1] if kind is Kind.EIGHT and self._swap else value)
        return self.wrap(message_id, b"".join(parts), option)

    def wrap(self, message_id: MessageId, body: bytes, option: int = 0) -> bytes:
        """Return `body` behind its header, the option where it belongs."""
        if self._in_body and message_id in WITH_OPTION:
            body, option = body + self._word.pack(option), 0
        return self.header(message_id, len(body), option) + body

    def decode(self, header: Header, body: bytes) -> Message:
        """Return a message. Raises `IsclError` (bad message ID, bad length)."""
        try:
            message_id = MessageId(header.message_id)
        except ValueError:
            raise IsclError(Condition.BAD_MESSAGE_ID, f"{header.message_id:08x}") from None
        names = _NUMBERS.get(message_id)
        if names is not None and len(body) == 4 * len(names):
            return Message(message_id, header.option, dict(zip(names, self._words[len(names)].unpack(body), strict=True)))
        option, rest = self.option(message_id, body, header)
        fields: dict[str, Value] = {}
        for name, kind in LAYOUT[message_id]:
            fields[name], rest = self._field(message_id, name, kind, bytes(rest))
        if rest:
            raise IsclError(Condition.BAD_LENGTH, f"{message_id.name}, {len(rest)} bytes too many")
        return Message(message_id, option, fields)

    def _field(self, message_id: MessageId, name: str, kind: Kind, rest: bytes) -> tuple[Value, bytes]:
        if kind is Kind.REST:
            return rest, b""
        size = 8 if kind is Kind.EIGHT else 4
        if kind is Kind.EIGHT and self.wide and message_id in PASSES:
            kind, size = Kind.BYTES, 4
        if len(rest) < size:
            raise IsclError(Condition.BAD_LENGTH, f"{message_id.name} ends inside {name}")
        if kind is Kind.EIGHT:
            return (rest[7::-1] if self._swap else rest[:8]), rest[8:]
        number: int = self._word.unpack_from(rest)[0]
        if kind is Kind.U32:
            return number, rest[4:]
        if number > (MAX_NAME_BYTES if name == "name" else MAX_FIELD_BYTES) or len(rest) < 4 + number:
            raise IsclError(Condition.BAD_LENGTH, f"{message_id.name}, {name}")
        return rest[4 : 4 + number], rest[4 + number :]


assert all(codec.size == HEADER_BYTES for codec in _HEADER.values())
