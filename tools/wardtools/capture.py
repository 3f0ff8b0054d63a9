"""Reads pcap and pcapng files and puts TCP streams together: own, small, bounded by the file. Nothing is trusted of what it reads."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_FILE_BYTES: Final = 1 << 30
_ETHERNET, _NULL, _RAW, _RAW_BSD, _SLL, _SLL2 = 1, 0, 101, 12, 113, 276
_MAGICS: Final = {b"\xa1\xb2\xc3\xd4": ">", b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">", b"\x4d\x3c\xb2\xa1": "<"}


class CaptureError(Exception):
    """Not a capture that can be read."""


class Segment(NamedTuple):
    """A TCP segment; `number` counts packets of the file from 1."""

    number: int
    source: str
    target: str
    sequence: int
    syn: bool
    data: bytes


class Stream:
    """What one end of a connection said, in order. `number_at` tells the packet that brought a byte."""

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.data = bytearray()
        self.first = 0  # packet
        self.gap = False  # bytes are missing: what follows them is not here
        self._marks: list[tuple[int, int]] = []

    def add(self, number: int, data: bytes) -> None:
        """Append bytes of one packet."""
        self.first = self.first or number
        self._marks.append((len(self.data), number))
        self.data += data

    def number_at(self, offset: int) -> int:
        """Return the packet that brought the byte at `offset`."""
        found = 0
        for start, number in self._marks:
            if start > offset:
                break
            found = number
        return found


def streams(data: bytes) -> list[tuple[Stream, Stream]]:
    """Return the TCP connections of a capture, (caller, called) each. Raises `CaptureError`."""
    pieces: dict[tuple[str, str], list[Segment]] = {}
    for segment in _segments(data):
        pieces.setdefault((segment.source, segment.target), []).append(segment)
    found = []
    done: set[tuple[str, str]] = set()
    for (source, target), segments in pieces.items():
        if (source, target) in done or (target, source) in done:
            continue
        done.add((source, target))
        back = pieces.get((target, source), [])
        ours, theirs = _joined(source, target, segments), _joined(target, source, back)
        # Who sent the first SYN without being answered called; without a SYN, the one with the higher port.
        caller_first = segments[0].syn and (not back or not back[0].syn or segments[0].number < back[0].number)
        if not caller_first and ((back and back[0].syn) or _port(source) < _port(target)):
            ours, theirs = theirs, ours
        found.append((ours, theirs))
    return found


def _port(end: str) -> int:
    return int(end.rpartition(":")[2])


def _joined(source: str, target: str, segments: list[Segment]) -> Stream:
    stream = Stream(source, target)
    if not segments:
        return stream
    start = next((segment.sequence + 1 for segment in segments if segment.syn), segments[0].sequence)
    due = start & 0xFFFFFFFF
    waiting = [segment for segment in segments if segment.data]
    moved = True
    while moved:
        moved, later = False, []
        for segment in waiting:
            ahead = (segment.sequence - due) & 0xFFFFFFFF
            behind = (due - segment.sequence) & 0xFFFFFFFF
            if behind < 0x80000000 and behind < len(segment.data):
                stream.add(segment.number, segment.data[behind:])
                due = (due + len(segment.data) - behind) & 0xFFFFFFFF
                moved = True
            elif 0 < ahead < 0x80000000:
                later.append(segment)
        waiting = later
    stream.gap = bool(waiting)
    return stream


def _segments(data: bytes) -> Iterator[Segment]:
    for number, (link, packet) in enumerate(_packets(data), 1):
        try:
            segment = _tcp(number, _network(link, packet))
        except (struct.error, IndexError):
            continue  # a packet cut short by the capture
        if segment is not None:
            yield segment


def _network(link: int, packet: bytes) -> bytes:
    """Return the IP packet."""
    if link == _ETHERNET:
        at = 12
        kind = packet[at : at + 2]
        while kind in (b"\x81\x00", b"\x88\xa8"):
            at += 4
            kind = packet[at : at + 2]
        return packet[at + 2 :]
    if link == _SLL:
        return packet[16:]
    if link == _SLL2:
        return packet[20:]
    return packet[4:] if link == _NULL else packet


def _tcp(number: int, packet: bytes) -> Segment | None:
    if packet[0] >> 4 == 4:
        head, protocol = (packet[0] & 15) * 4, packet[9]
        fragment = struct.unpack_from(">H", packet, 6)[0] & 0x3FFF
        source, target = (".".join(map(str, packet[at : at + 4])) for at in (12, 16))
        payload = packet[head : struct.unpack_from(">H", packet, 2)[0] or len(packet)]
        if fragment:
            return None
    elif packet[0] >> 4 == 6:
        protocol = packet[6]
        source, target = (f"[{packet[at : at + 16].hex(':', 2)}]" for at in (8, 24))
        payload = packet[40 : 40 + struct.unpack_from(">H", packet, 4)[0]]
    else:
        return None
    if protocol != 6:
        return None
    source_port, target_port, sequence = struct.unpack_from(">HHI", payload)
    offset = (payload[12] >> 4) * 4
    syn = bool(payload[13] & 2)
    return Segment(number, f"{source}:{source_port}", f"{target}:{target_port}", sequence, syn, payload[offset:])


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        yield from _pcapng(data)
        return
    order = _MAGICS.get(data[:4])
    if order is None or len(data) < 24:
        raise CaptureError("neither pcap nor pcapng")
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(order + "I", data, at + 8)[0]
        yield link, data[at + 16 : at + 16 + size]
        at += 16 + size


def _pcapng(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, order = 0, "<"
    links: list[int] = []
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = ">" if data[at + 8 : at + 12] == b"\x1a\x2b\x3c\x4d" else "<"
            links = []
        kind, size = struct.unpack_from(order + "II", data, at)
        if size < 12 or size % 4:
            raise CaptureError(f"block of {size} bytes at byte {at}")
        body = data[at + 8 : at + size - 4]
        if kind == 1 and len(body) >= 2:
            links.append(struct.unpack_from(order + "H", body)[0])
        elif kind == 6 and len(body) >= 20:
            interface, _, _, captured = struct.unpack_from(order + "4I", body)
            if interface < len(links):
                yield links[interface], body[20 : 20 + captured]
        elif kind == 3 and links and len(body) >= 4:
            yield links[0], body[4:]
        at += size
