"""Opens sockets that stand in for others: IP_TRANSPARENT, bound to an address that is not ours. Only `netd` may."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from wardgate.plant.marks import MARK_HOSPITAL, MARK_MODALITY
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.plant import Side

IP_TRANSPARENT: Final = 19
IPV6_TRANSPARENT: Final = 75
BACKLOG: Final = 1024


def listener(endpoint: Endpoint, side: Side) -> socket.socket:
    """Return a socket that listens where `endpoint`'s owner is called, for callers at the port of `side`. Raises `OSError`."""
    sock = _new(endpoint.host, side)
    try:
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def connection(target: Endpoint, source: Endpoint, side: Side) -> socket.socket:
    """Return a socket whose connect to `target` has begun, from `source`. Its port is kept unless it is taken. Raises `OSError`."""
    sock = _new(target.host, side)
    try:
        try:
            sock.bind((source.host, source.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            sock.bind((source.host, 0))
        result = sock.connect_ex((target.host, target.port))
        if result == errno.EADDRNOTAVAIL and source.port:  # the same pair of endpoints still waits in TIME_WAIT
            sock.close()
            return connection(target, Endpoint(source.host, 0), side)
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
    except OSError:
        sock.close()
        raise
    return sock


def _new(host: str, side: Side) -> socket.socket:
    six = ":" in host
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            sock.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK_MODALITY if side is Side.MODALITY else MARK_HOSPITAL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        sock.close()
        raise
    return sock
