"""Sends frames that no honest station sends: `python -m support.forge DEVICE WHAT WORDS...`, run by tests inside a network namespace.

arp SENDER-IP TARGET-IP     a request in the name of SENDER-IP, with this station's MAC
nd TARGET                   a neighbour advertisement for TARGET, to all nodes, with this station's MAC
mac SOURCE-MAC              an empty frame from SOURCE-MAC
tagged VLAN                 an empty tagged frame
eapol                       an EAPOL start
lldp                        an LLDP frame without a station's data
dhcp SRC DST SPORT DPORT DST-MAC    an UDP datagram between those ports, without a DHCP message in it
echo SRC DST DST-MAC [SIZE]  an ICMP echo request, with SIZE bytes of data
segment SRC DST SPORT DPORT DST-MAC    a TCP segment (ACK, PSH) of no connection, in the name of SRC
syns SRC DST DPORT DST-MAC COUNT [RATE]    SYNs from as many ports of SRC, RATE (5,000) a second
fragments SRC DST SPORT DPORT DST-MAC  a SYN in two fragments
"""

from __future__ import annotations

import socket
import struct
import sys
import time


def main(words: list[str]) -> None:
    """Send what is asked for."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((words.pop(0), 0))
    own = sock.getsockname()[4]
    what, rest = words[0], words[1:]
    if what == "arp":
        body = b"\0\1\x08\0\6\4\0\1" + own + socket.inet_aton(rest[0]) + bytes(6) + socket.inet_aton(rest[1]) + bytes(18)
        sock.send(b"\xff" * 6 + own + b"\x08\x06" + body)
    elif what == "nd":
        # RFC 4861 4.4, override set; with the option of the sender's link-layer address (4.6.1).
        message = b"\x88\0\0\0\x20\0\0\0" + socket.inet_pton(socket.AF_INET6, rest[0]) + b"\2\1" + own
        sender, group = socket.inet_pton(socket.AF_INET6, rest[0]), socket.inet_pton(socket.AF_INET6, "ff02::1")
        check = _sum(sender + group + struct.pack("!II", len(message), 58) + message)
        header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + sender + group
        sock.send(bytes.fromhex("333300000001") + own + b"\x86\xdd" + header + message[:2] + struct.pack("!H", check) + message[4:])
    elif what == "mac":
        sock.send(b"\xff" * 6 + _mac(rest[0]) + b"\x88\xb5" + bytes(46))  # IEEE 802 local experimental
    elif what == "tagged":
        sock.send(b"\xff" * 6 + own + b"\x81\0" + struct.pack("!H", int(rest[0])) + b"\x08\0" + bytes(46))
    elif what == "eapol":
        sock.send(bytes.fromhex("0180c2000003") + own + b"\x88\x8e\1\1\0\0" + bytes(42))
    elif what == "lldp":
        sock.send(bytes.fromhex("0180c200000e") + own + b"\x88\xcc\x02\x07\x04" + own + bytes(40))
    elif what == "dhcp":
        datagram = struct.pack("!HHHH", int(rest[2]), int(rest[3]), 8 + 240, 0) + bytes(240)
        sock.send(_mac(rest[4]) + own + b"\x08\0" + _ip(rest[0], rest[1], 17, datagram))
    elif what == "echo":
        message = b"\x08\0" + struct.pack("!H", _sum(b"\x08\0\0\0\0\1\0\1")) + b"\0\1\0\1" + bytes(int(rest[3]) if rest[3:] else 0)
        sock.send(_mac(rest[2]) + own + b"\x08\0" + _ip(rest[0], rest[1], 1, message))
    elif what == "segment":
        sock.send(_mac(rest[4]) + own + b"\x08\0" + _tcp(rest[0], rest[1], int(rest[2]), int(rest[3]), 0x18, b"forged"))
    elif what == "syns":
        rate, head = int(rest[5]) if rest[5:] else 5000, _mac(rest[3]) + own + b"\x08\0"
        # Made before they are sent: the sender shares the processors with what it is to disturb.
        made = [head + _tcp(rest[0], rest[1], 1025 + number, int(rest[2]), 0x02, b"") for number in range(min(int(rest[4]), 5000))]
        began = time.monotonic()
        for number in range(int(rest[4])):
            sock.send(made[number % len(made)])
            if number % 50 == 49:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
    elif what == "fragments":
        packet = _tcp(rest[0], rest[1], int(rest[2]), int(rest[3]), 0x02, b"")
        for body, place in ((packet[20:28], 0x2000), (packet[28:], 1)):  # RFC 791 3.1: more fragments; offset in units of 8 bytes
            sock.send(_mac(rest[4]) + own + b"\x08\0" + _ip(rest[0], rest[1], 6, body, place))


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _tcp(source: str, destination: str, source_port: int, port: int, flags: int, data: bytes) -> bytes:
    one, other = socket.inet_aton(source), socket.inet_aton(destination)
    segment = struct.pack("!HHIIBBHHH", source_port, port, 1000, 1 if flags & 0x10 else 0, 5 << 4, flags, 1024, 0, 0) + data
    segment = segment[:16] + struct.pack("!H", _sum(one + other + struct.pack("!HH", 6, len(segment)) + segment)) + segment[18:]
    return _ip(source, destination, 6, segment)


def _ip(source: str, destination: str, protocol: int, body: bytes, place: int = 0) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, place, 64, protocol, 0) + addresses
    return header[:10] + struct.pack("!H", _sum(header)) + header[12:] + body


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    main(sys.argv[1:])
