"""A UNIX socket on which other processes of this account, or of its group, call."""

from __future__ import annotations

import os
import socket


def listening(path: str, backlog: int, *, for_group: bool = False) -> socket.socket:
    """Return a non-blocking `SOCK_SEQPACKET` listener at `path` in place of one that nobody serves. Raises `OSError`.

    Mode 0600; `for_group`: 0660, and who calls is to be judged.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    mask = os.umask(0o117 if for_group else 0o177)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.listen(backlog)
    return sock
