"""One TCP stream as ISCL messages under one way of reading it."""

from __future__ import annotations

from typing import NamedTuple

from wardgate.iscl.bodies import Codec, Header, Message
from wardgate.iscl.errors import IsclError
from wardgate.iscl.reconstruction import ByteOrder, OptionPlace, Reconstruction
from wardgate.iscl.terms import HEADER_BYTES
from wardtools.capture import Stream

MAX_BODY_BYTES = 1 << 21


class Reading(NamedTuple):
    """How integers and options are read; `wide`: challenges and responses with a length (extension methods)."""

    byte_order: ByteOrder
    option_place: OptionPlace
    wide: bool

    @property
    def text(self) -> str:
        """For a person."""
        return f"{self.byte_order.name.lower()}-endian, option in the {self.option_place.value}" + (
            ", extension bodies" if self.wide else ""
        )

    def codec(self) -> Codec:
        """Return the codec."""
        return Codec(Reconstruction(byte_order=self.byte_order, option_place=self.option_place), self.wide)


READINGS = [Reading(order, place, wide) for order in ByteOrder for place in OptionPlace for wide in (False, True)]


class Row(NamedTuple):
    """One message, or what stands in its place; `error` says why it could not be read."""

    packet: int
    from_server: bool
    header: Header
    body: bytes
    message: Message | None
    error: str


def rows(stream: Stream, from_server: bool, reading: Reading) -> tuple[list[Row], str]:
    """Return the messages of a stream, and why it ended early (empty: it did not)."""
    codec, data, at = reading.codec(), bytes(stream.data), 0
    found: list[Row] = []
    while at + HEADER_BYTES <= len(data):
        header = codec.read_header(data, at)
        end = at + HEADER_BYTES + header.length
        if header.length > MAX_BODY_BYTES:
            return found, f"byte {at}: a body of {header.length} bytes is no ISCL message"
        if end > len(data):
            return found, f"byte {at}: the capture ends inside a message of {header.length} bytes"
        body = data[at + HEADER_BYTES : end]
        message, error = None, ""
        try:
            message = codec.decode(header, body)
        except IsclError as refused:
            error = str(refused)
        found.append(Row(stream.number_at(end - 1), from_server, header, body, message, error))
        at = end
    return found, f"byte {at}: {len(data) - at} bytes are left" if at < len(data) else ""


def both(client: Stream, server: Stream, reading: Reading) -> tuple[list[Row], list[str]]:
    """Return the messages of both directions in the order of their packets, and what ended early."""
    ours, first = rows(server, True, reading)
    theirs, second = rows(client, False, reading)
    ends = [f"{who}: {what}" for who, what in (("server", first), ("client", second)) if what]
    return sorted(ours + theirs, key=lambda row: row.packet), ends


def score(client: Stream, server: Stream, reading: Reading) -> tuple[int, int]:
    """Return (messages read whole, messages and ends that did not fit)."""
    found, ends = both(client, server, reading)
    good = sum(row.message is not None for row in found)
    cut = sum("is no ISCL" in end for end in ends)
    return good, len(found) - good + cut
