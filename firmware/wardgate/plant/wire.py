"""What is said between `netd` and those who ask it: UNIX `SOCK_SEQPACKET`, one packet a message, JSON, at most 64 KiB.

    {"op":"listen","endpoint":"192.0.2.20:104"}                                  -> {"ok":true} and one descriptor (SCM_RIGHTS)
    {"op":"connect","target":"192.0.2.20:2762","source":"192.0.2.10:40000"}      -> the same; the connect has begun
    {"op":"status"} {"op":"seen"} {"op":"confirm"} {"op":"reload"}               -> {"ok":true, ...}
    {"op":"bypass"}                                                              -> {"ok":true,"entries":[...]}, those not recorded yet
    {"op":"bypass","done":NUMBER}                                                -> {"ok":true}; entries up to it are recorded
    {"op":"break-glass","do":"start"|"end","reason":"..."}                       -> {"ok":true, ...}
    refusals                                                                     -> {"ok":false,"code":"NETD_...","detail":"...","errno":n}

`netd` answers each request in turn and closes on one that is no message. Who asks must be of a user that policy names (SO_PEERCRED).
"""

from __future__ import annotations

import array
import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 64 << 10
ANSWER_SECONDS = 5.0


class WireError(Exception):
    """A packet that is no message."""


def encode(message: dict[str, Any]) -> bytes:
    """Return the packet. Raises `WireError` when it is too long."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        raise WireError(f"a message of {len(data)} bytes")
    return data


def decode(data: bytes) -> dict[str, Any]:
    """Return the message. Raises `WireError`."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError("a packet that is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a packet that is not an object")
    return message


def send(sock: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    """Send a message, with a descriptor if given. Raises `OSError`, `WireError`."""
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    sock.sendmsg([encode(message)], rights)


def receive(sock: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Return a message and the descriptor that came with it. Raises `OSError`, `WireError`, `EOFError` at the end."""
    # CMSG_LEN: with the padding of CMSG_SPACE there is room for two, and nobody would close the second.
    data, ancillary, _flags, _ = sock.recvmsg(MAX_BYTES + 1, socket.CMSG_LEN(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC)
    fd = None
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(value) >= array.array("i").itemsize:
            fds = array.array("i")
            fds.frombytes(value[: fds.itemsize])
            fd = fds[0]
    try:
        if not data:
            raise EOFError
        return decode(data), fd
    except (EOFError, WireError):
        if fd is not None:
            os.close(fd)
        raise


def ask(path: str, message: dict[str, Any], seconds: float = ANSWER_SECONDS) -> tuple[dict[str, Any], int | None]:
    """Ask once over a connection of its own: safe over forks and restarts of `netd`. Raises `OSError`, `WireError`, `EOFError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(seconds)
        sock.connect(path)
        send(sock, message)
        return receive(sock)
