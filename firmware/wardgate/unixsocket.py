"""A UNIX socket on which other processes of this account, or of its group, call.

A leaf without a library. Who may call is said without another umask, which would be that of every thread: Linux gives the name the mode of
the socket itself, less the umask (unix_bind of net/unix/af_unix.c). So the socket gets it before there is a name, and the name once more,
for what the umask took.
"""

from __future__ import annotations

import os
import socket


def bound(path: str, kind: int, mode: int = 0o600) -> socket.socket:
    """Return a non-blocking socket of `kind` (`SOCK_DGRAM` ...) at `path`, in place of one that nobody serves. Raises `OSError`.

    Its name is never open to more than `mode`. With more than 0600 who calls is to be judged.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        os.chmod(path, mode)
    except OSError:
        sock.close()
        raise
    return sock


def listening(path: str, backlog: int, mode: int = 0o600) -> socket.socket:
    """Return a `SOCK_SEQPACKET` listener of this sort. Raises `OSError`."""
    sock = bound(path, socket.SOCK_SEQPACKET, mode)
    sock.listen(backlog)
    return sock
