"""Writes captures: two joined engines as TCP segments in a pcap or pcapng file."""

from __future__ import annotations

import struct

SYN, ACK = 2, 16


class PcapWriter:
    """IPv4 TCP packets between 192.0.2.1:40000 (client) and 192.0.2.2:2761 (server), Ethernet framed."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self._sequence = {True: 1000, False: 4294967200}  # the client's wraps round
        self._add(False, b"", SYN)
        self._add(True, b"", SYN | ACK)

    def say(self, from_server: bool, data: bytes, size: int = 1400) -> None:
        """Add the segments of `data`."""
        for start in range(0, len(data), size):
            self._add(from_server, data[start : start + size], ACK)

    def _add(self, from_server: bool, data: bytes, flags: int) -> None:
        ports = (2761, 40000) if from_server else (40000, 2761)
        hosts = (bytes((192, 0, 2, 2)), bytes((192, 0, 2, 1))) if from_server else (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
        tcp = struct.pack(">HHIIBBHHH", *ports, self._sequence[from_server], 0, 5 << 4, flags, 65535, 0, 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, *hosts)
        self.packets.append(bytes(12) + b"\x08\x00" + ip + tcp)
        self._sequence[from_server] = (self._sequence[from_server] + len(data) + bool(flags & SYN)) & 0xFFFFFFFF

    def pcap(self, order: str = "<") -> bytes:
        """Return a pcap file."""
        head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        return head + b"".join(struct.pack(order + "IIII", 0, 0, len(packet), len(packet)) + packet for packet in self.packets)

    def pcapng(self, order: str = "<") -> bytes:
        """Return a pcapng file."""
        blocks = [(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)), (1, struct.pack(order + "HHI", 1, 0, 0))]
        for packet in self.packets:
            padded = packet + bytes(-len(packet) % 4)
            blocks.append((6, struct.pack(order + "5I", 0, 0, 0, len(packet), len(packet)) + padded))
        return b"".join(
            struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body)) for kind, body in blocks
        )
