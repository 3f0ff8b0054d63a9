"""The two ports as `netd` hears them: frames that tell about addresses, and whether there is a link."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from enum import Enum
from typing import Final

from wardgate.plant.frames import Seen, read
from wardgate.policy.plant import Side


class Kind(Enum):
    """What a socket hears. Apart, so that a flood of SYNs drowns no ARP."""

    NEIGHBOURS = "ARP, EAPOL, DHCP requests, neighbour discovery"
    SYNS = "beginnings of TCP connections"


_ETH_P_ALL: Final = 0x0003
_SO_ATTACH_FILTER: Final = 26
_OUTGOING: Final = 4
_SIOCGIFFLAGS: Final = 0x8913
_SNAP_BYTES: Final = 128
FRAMES_AT_ONCE: Final = 64


_SYN_ROWS: Final = (9, 21)  # of the filter: what is TCP over IPv4, over IPv6
_REFUSE_ROW: Final = 29


def _filter(kind: Kind) -> list[tuple[int, int, int, int]]:
    """Classic BPF for a kind of frames; never what this host sends. Image data stays in the kernel."""
    rows = _syn_filter() if kind is Kind.SYNS else _whole_filter()
    if kind is Kind.NEIGHBOURS:
        for at in _SYN_ROWS:
            code, _, other, value = rows[at]
            rows[at] = (code, _REFUSE_ROW - at - 1, other, value)
    return rows


def _syn_filter() -> list[tuple[int, int, int, int]]:
    ldh, ldb, ld, ldxb, and_, jeq, jset, ret, ldb_x = 0x28, 0x30, 0x20, 0xB1, 0x54, 0x15, 0x45, 0x06, 0x50
    return [
        (ld, 0, 0, 0xFFFFF004),  # SKF_AD_PKTTYPE
        (jeq, 16, 0, _OUTGOING),
        (ldh, 0, 0, 12),
        (jeq, 0, 8, 0x0800),  # else IPv6 at 12
        (ldh, 0, 0, 20),
        (jset, 12, 0, 0x1FFF),
        (ldb, 0, 0, 23),
        (jeq, 0, 10, 6),
        (ldxb, 0, 0, 14),
        (ldb_x, 0, 0, 27),
        (and_, 0, 0, 0x12),
        (jeq, 7, 6, 2),
        (jeq, 0, 5, 0x86DD),
        (ldb, 0, 0, 20),
        (jeq, 0, 3, 6),
        (ldb, 0, 0, 67),
        (and_, 0, 0, 0x12),
        (jeq, 1, 0, 2),
        (ret, 0, 0, 0),
        (ret, 0, 0, _SNAP_BYTES),
    ]


def _whole_filter() -> list[tuple[int, int, int, int]]:
    """ARP, EAPOL, DHCP requests, neighbour discovery, SYNs."""
    ldh, ldb, ld, ldxb, and_, jeq, jset, ret = 0x28, 0x30, 0x20, 0xB1, 0x54, 0x15, 0x45, 0x06
    ldb_x, ldh_x = 0x50, 0x48
    return [
        (ld, 0, 0, 0xFFFFF004),  # SKF_AD_PKTTYPE
        (jeq, 27, 0, _OUTGOING),
        (ldh, 0, 0, 12),
        (jeq, 26, 0, 0x0806),
        (jeq, 25, 0, 0x888E),
        (jeq, 0, 13, 0x0800),  # else IPv6 at 19
        (ldh, 0, 0, 20),
        (jset, 21, 0, 0x1FFF),
        (ldb, 0, 0, 23),
        (jeq, 0, 4, 6),  # else UDP at 14
        (ldxb, 0, 0, 14),
        (ldb_x, 0, 0, 27),
        (and_, 0, 0, 0x12),
        (jeq, 16, 15, 2),
        (jeq, 0, 14, 17),
        (ldxb, 0, 0, 14),
        (ldh_x, 0, 0, 16),
        (jeq, 12, 11, 67),
        (ret, 0, 0, 0),
        (jeq, 0, 9, 0x86DD),
        (ldb, 0, 0, 20),
        (jeq, 0, 3, 6),
        (ldb, 0, 0, 67),
        (and_, 0, 0, 0x12),
        (jeq, 5, 4, 2),
        (jeq, 0, 3, 58),
        (ldb, 0, 0, 54),
        (jeq, 2, 0, 135),
        (jeq, 1, 0, 136),
        (ret, 0, 0, 0),
        (ret, 0, 0, _SNAP_BYTES),
    ]


class Port:
    """One port, one kind of its frames: an AF_PACKET socket."""

    def __init__(self, device: str, side: Side, kind: Kind) -> None:
        """Raises `OSError`."""
        self.device, self.side, self.kind = device, side, kind
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # protocol 0: deaf until the filter is there
        program = b"".join(struct.pack("HBBI", *row) for row in _filter(kind))
        buffer = ctypes.create_string_buffer(program)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_filter(kind)), ctypes.addressof(buffer)))
        self.sock.bind((device, _ETH_P_ALL))

    def frames(self) -> list[Seen]:
        """Return what waits, at most `FRAMES_AT_ONCE`."""
        found = []
        for _ in range(FRAMES_AT_ONCE):
            try:
                data = self.sock.recv(_SNAP_BYTES)
            except OSError:  # nothing waits, or the link has just gone
                break
            seen = read(data)
            if seen is not None:
                found.append(seen)
        return found

    def send(self, frame: bytes) -> None:
        """Send a frame by this port, past the bridge."""
        try:
            self.sock.send(frame)
        except OSError:
            pass  # no link: the question will be asked again

    def close(self) -> None:
        """Hear no more."""
        self.sock.close()


def link(device: str) -> bool:
    """Tell whether a device is up and has a link (IFF_UP and IFF_RUNNING)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            flags = struct.unpack_from("16xH", fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16s24x", device.encode())))[0]
        except OSError:
            return False
    return bool(flags & 0x1 and flags & 0x40)
