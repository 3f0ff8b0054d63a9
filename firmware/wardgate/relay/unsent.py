"""What was said on a socket and has not left yet, in order: the socket takes no more now."""

from __future__ import annotations

import socket

Unsent = list[bytes | memoryview]


def keep(unsent: Unsent, wire: bytes | bytearray | memoryview | list[bytes], sent: int) -> None:
    """Put a copy of what lies behind the first `sent` bytes of `wire` behind what waits."""
    for piece in wire if isinstance(wire, list) else [wire]:
        if sent >= len(piece):
            sent -= len(piece)
        else:
            unsent.append(memoryview(bytes(piece))[sent:])
            sent = 0


def send(unsent: Unsent, sock: socket.socket) -> None:
    """Send what waits, as far as `sock` takes it now. Raises `OSError` when nobody takes it any more."""
    try:
        while unsent:
            piece = unsent[0]
            sent = sock.send(piece)
            if sent < len(piece):
                unsent[0] = memoryview(piece)[sent:]
                return
            del unsent[0]
    except BlockingIOError:
        return
