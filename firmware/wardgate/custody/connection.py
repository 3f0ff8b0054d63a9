"""One connection to the custody writer, seen from the writer."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque

from wardgate.custody import wire

TYPE_CHECKING = False  # the master asks who its writer is, and does without `typing`
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MAX_PACKETS: Final = 64  # unsent ones: a worker that does not read is dropped


class Connection:
    """A worker (or whoever asks for the state) and the answers that wait for it."""

    __slots__ = ("answers", "blocked", "fd", "is_worker", "name", "packets", "socket")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.fd = sock.fileno()
        self.name = "unnamed"
        self.is_worker = False
        self.answers: list[bytes] = []
        self.packets: deque[bytes] = deque()
        self.blocked = False

    def receive(self) -> bytes | None:
        """Return one packet, None when there is none, b"" when the other end is gone."""
        try:
            return self.socket.recv(wire.MAX_PACKET)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self) -> bool | None:
        """Send the answers; True when some have to wait until the socket is writable, None when the connection is lost."""
        packets = self.packets
        if self.answers:
            packets.extend(wire.encode_answers(self.answers))
            self.answers.clear()
        while packets:
            try:
                self.socket.send(packets[0])
            except BlockingIOError:
                return True if len(packets) <= _MAX_PACKETS else None
            except OSError:
                return None
            packets.popleft()
        return False


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Return the process id and the user of the other end, as the kernel knows them (SO_PEERCRED)."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def is_allowed(sock: socket.socket, uids: Collection[int]) -> bool:
    """May this peer speak to the writer? Root, the writer's own user, and those configured."""
    uid = peer_of(sock)[1]
    return uid in (0, os.getuid()) or uid in uids
