"""A UNIX socket on which other processes of this account call."""

from __future__ import annotations

import os
import socket


def listening(path: str, backlog: int) -> socket.socket:
    """Return a non-blocking `SOCK_SEQPACKET` listener at `path`, mode 0600, in place of one that nobody serves. Raises `OSError`."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    mask = os.umask(0o077)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.listen(backlog)
    return sock
