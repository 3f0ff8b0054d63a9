"""Datagrams of the control socket between master and worker: one JSON object each, over `SOCK_SEQPACKET`.

    master -> worker  {"do":"start", "generation":g, "worker":i, "config":{...}, "fds":[n,...], "census":[at,part],
                       "listeners":[[at,"h:p",[[link,party],...]],...], "tokens":{...}}, as the next one
                      {"do":"tokens", "out":{"LINK/PARTY":["TOKEN_IS_ABSENT","detail"],...}}   who is not there is served
                      {"do":"status","id":n}   {"do":"ping"}   {"do":"drain"}   {"do":"stop"}
    worker -> master  {"is":"ready"}   {"is":"status","id":n,"status":{...}}   {"is":"alive"}   {"is":"drained"}
                      {"is":"failed","code":"WG301","detail":"..."}

`config` is what `policy.model.build` takes. `at` is a place in `fds`: descriptors that the process has inherited under these numbers; one
that waited for its start message (`master.waiting`) gets them with it (SCM_RIGHTS), in the same order. A status may travel in `drained`
too, so that its counters are not lost.
"""

from __future__ import annotations

import json
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FDS = 250  # with one message: below the kernel's SCM_MAX_FD
MAX_MESSAGE_BYTES = 192 << 10  # below the kernel's default send buffer


class ControlError(Exception):
    """A datagram that is not a control message."""


def encode(message: dict[str, Any]) -> bytes:
    """Return the datagram of `message`. Raises `ControlError` when it is too long."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ControlError(f"a control message of {len(data)} bytes")
    return data


def decode(data: bytes) -> dict[str, Any]:
    """Return the message of one datagram. Raises `ControlError`."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ControlError("a control message that is not JSON") from error
    if not isinstance(message, dict):
        raise ControlError("a control message that is not an object")
    return message


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the master's end, non-blocking, and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs
