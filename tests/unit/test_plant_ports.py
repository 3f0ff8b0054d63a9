"""What `netd` hears at a port: the filters of its sockets, run here as the kernel runs them."""

from __future__ import annotations

import socket
import struct

import pytest

from wardgate.plant.ports import Kind, _filter

_PKTTYPE = 0xFFFFF004
OUTGOING = 4


def _run(kind: Kind, frame: bytes, packet_type: int = 0) -> int:
    """Classic BPF as far as the filters use it; return the bytes that are kept. A load past the end keeps none (bpf(4))."""
    a = x = 0
    rows, at = _filter(kind), 0
    while True:
        code, yes, no, k = rows[at]
        at += 1
        size, place = {0x28: (2, k), 0x30: (1, k), 0x50: (1, x + k), 0x48: (2, x + k)}.get(code, (0, 0))
        if size and place + size > len(frame):
            return 0
        if size:
            a = int.from_bytes(frame[place : place + size], "big")
        elif code == 0x20:
            assert k == _PKTTYPE
            a = packet_type
        elif code == 0xB1:
            x = 4 * (frame[k] & 15)
        elif code == 0x54:
            a &= k
        elif code == 0x15:
            at += yes if a == k else no
        elif code == 0x45:
            at += yes if a & k else no
        else:
            assert code == 0x06
            return k


def _four(protocol: int, body: bytes, place: int = 0, options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(body), 1, place, 64, protocol, 0)
    return bytes(12) + b"\x08\0" + head + socket.inet_aton("192.0.2.10") + socket.inet_aton("192.0.2.20") + options + body


def _six(following: int, body: bytes) -> bytes:
    return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), following, 255) + bytes(32) + body


def _tcp(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 104, 1, 0, 5 << 4, flags, 1024, 0, 0)


FRAMES = {
    "an ARP request": (bytes(12) + b"\x08\x06" + bytes(46), Kind.NEIGHBOURS),
    "EAPOL": (bytes(12) + b"\x88\x8e" + bytes(46), Kind.NEIGHBOURS),
    "a DHCP request": (_four(17, struct.pack("!HHHH", 68, 67, 8, 0)), Kind.NEIGHBOURS),
    "a neighbour solicitation": (_six(58, bytes((135,)) + bytes(23)), Kind.NEIGHBOURS),
    "a neighbour advertisement": (_six(58, bytes((136,)) + bytes(23)), Kind.NEIGHBOURS),
    "a SYN": (_four(6, _tcp(0x02)), Kind.SYNS),
    "a SYN behind IP options": (_four(6, _tcp(0x02), options=bytes(8)), Kind.SYNS),
    "a SYN over IPv6": (_six(6, _tcp(0x02)), Kind.SYNS),
    "a SYN and ACK": (_four(6, _tcp(0x12)), None),
    "image data": (_four(6, _tcp(0x18) + bytes(1400)), None),
    "image data over IPv6": (_six(6, _tcp(0x18) + bytes(1400)), None),
    "a later fragment": (_four(6, _tcp(0x02), place=5), None),
    "a name query": (_four(17, struct.pack("!HHHH", 40000, 53, 8, 0)), None),
    "an echo over IPv6": (_six(58, bytes((128,)) + bytes(23)), None),
    "an unknown type": (bytes(12) + b"\x88\xb5" + bytes(46), None),
}


@pytest.mark.parametrize("name", FRAMES)
def test_each_frame_is_heard_by_the_socket_of_its_kind_and_no_other(name: str) -> None:
    frame, wanted = FRAMES[name]
    assert {kind for kind in Kind if _run(kind, frame)} == ({wanted} if wanted else set())


@pytest.mark.parametrize("name", FRAMES)
def test_what_this_host_sends_is_not_heard(name: str) -> None:
    assert not any(_run(kind, FRAMES[name][0], OUTGOING) for kind in Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_frame_that_is_cut_short_is_no_end_of_the_filter(kind: Kind) -> None:
    for frame, _ in FRAMES.values():
        for length in range(14, min(len(frame), 80)):
            _run(kind, frame[:length])
