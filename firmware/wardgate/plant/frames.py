"""Reads what a frame says about addresses, and makes the two questions for a neighbour. Sans-IO.

Ethernet II only; ARP: RFC 826; neighbour discovery: RFC 4861; a tagged frame (IEEE 802.1Q) says nothing here.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

ETH_ARP: Final = 0x0806
ETH_IPV4: Final = 0x0800
ETH_IPV6: Final = 0x86DD
_TCP: Final = 6
_ICMPV6: Final = 58
_SYN, _ACK = 0x02, 0x10


class Seen(NamedTuple):
    """What one frame tells. Addresses are texts, empty when the frame has none; `opens`: the first packet of a TCP connection."""

    source_mac: str
    destination_mac: str
    source: str = ""
    destination: str = ""
    opens: bool = False
    neighbour: bool = False  # ARP or neighbour discovery


def read(frame: bytes) -> Seen | None:
    """Return what a frame tells, None when it is too short or of a group sender."""
    if len(frame) < 14 or frame[6] & 1:
        return None
    seen = Seen(mac_text(frame[6:12]), mac_text(frame[:6]))
    kind = frame[12] << 8 | frame[13]
    if kind == ETH_ARP:
        return _arp(frame, seen)
    if kind == ETH_IPV4:
        return _ipv4(frame, seen)
    if kind == ETH_IPV6:
        return _ipv6(frame, seen)
    return seen


def _arp(frame: bytes, seen: Seen) -> Seen | None:
    if len(frame) < 42 or frame[14:20] != b"\0\1\x08\0\6\4" or frame[22:28] != frame[6:12]:
        return None
    source = socket.inet_ntop(socket.AF_INET, frame[28:32])
    return seen._replace(source="" if source == "0.0.0.0" else source, neighbour=True)  # noqa: S104


def _ipv4(frame: bytes, seen: Seen) -> Seen | None:
    if len(frame) < 34 or frame[14] >> 4 != 4:
        return None
    header = (frame[14] & 15) * 4
    source, destination = (socket.inet_ntop(socket.AF_INET, frame[at : at + 4]) for at in (26, 30))
    first = not (frame[20] & 0x1F or frame[21])
    opens = first and frame[23] == _TCP and len(frame) >= 14 + header + 14 and frame[14 + header + 13] & (_SYN | _ACK) == _SYN
    return seen._replace(source=source, destination=destination, opens=opens)


def _ipv6(frame: bytes, seen: Seen) -> Seen | None:
    if len(frame) < 54 or frame[14] >> 4 != 6:
        return None
    source, destination = (socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (22, 38))
    opens = frame[20] == _TCP and len(frame) >= 68 and frame[67] & (_SYN | _ACK) == _SYN
    neighbour = frame[20] == _ICMPV6 and frame[21] == 255 and len(frame) > 54 and frame[54] in (135, 136)
    if source == "::":
        source = ""
    return seen._replace(source=source, destination=destination, opens=opens, neighbour=neighbour)


def ask(wanted: str, source: str, source_mac: str) -> bytes:
    """Return the frame that asks for the MAC address of `wanted` in the name of `source`."""
    if ":" in wanted:
        return _solicit(wanted, source, source_mac)
    mac = mac_bytes(source_mac)
    body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 1) + mac + socket.inet_aton(source) + bytes(6) + socket.inet_aton(wanted)
    return b"\xff" * 6 + mac + struct.pack("!H", ETH_ARP) + body + bytes(18)


def _solicit(wanted: str, source: str, source_mac: str) -> bytes:
    """RFC 4861 4.3, to the solicited-node address (RFC 4291 2.7.1)."""
    mac, target = mac_bytes(source_mac), socket.inet_pton(socket.AF_INET6, wanted)
    group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + target[13:]
    sender = socket.inet_pton(socket.AF_INET6, source)
    message = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\1\1" + mac
    pseudo = sender + group + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255)
    return b"\x33\x33" + group[12:] + mac + struct.pack("!H", ETH_IPV6) + header + sender + group + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_text(mac: bytes) -> str:
    """Return `aa:bb:..`."""
    return ":".join(f"{byte:02x}" for byte in mac)


def mac_bytes(text: str) -> bytes:
    """Return the 6 bytes."""
    return bytes.fromhex(text.replace(":", ""))
