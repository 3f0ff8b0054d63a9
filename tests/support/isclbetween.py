"""Somebody who stands between the box and an ISCL peer that calls it, and changes messages on their way to the box."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.isclsocket import IsclSocket
from support.processes import LOOPBACK
from support.relaykit import Relay
from support.wire import Wire
from wardgate.iscl.bodies import Codec
from wardgate.iscl.reconstruction import R1
from wardgate.iscl.terms import HEADER_BYTES
from wardgate.iscl.terms import Role as IsclRole
from wardgate.policy.model import Iscl, Role


class Between:
    """Stands between the box and a peer and changes one byte of one message towards the box."""

    def __init__(self, near: socket.socket, change: Callable[[int, bytes], bytes]) -> None:
        self.near = near
        self.ours, self.theirs = socket.socketpair()
        self.to_peer = bytearray()  # what the box said, after the change
        self.changed = False
        self._change = change
        for source, sink, edited in ((self.near, self.theirs, False), (self.theirs, self.near, True)):
            threading.Thread(target=self._carry, args=(source, sink, edited), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, edited: bool) -> None:
        codec, held = Codec(R1), b""
        try:
            while data := source.recv(65536):
                if not edited:
                    if self.changed:
                        self.to_peer += data
                    sink.sendall(data)
                    continue
                held += data
                while len(held) >= HEADER_BYTES and len(held) >= HEADER_BYTES + codec.read_header(held).length:
                    header = codec.read_header(held)
                    size = HEADER_BYTES + header.length
                    said = self._change(header.message_id, held[:size])
                    self.changed = self.changed or said != held[:size]
                    sink.sendall(said)
                    held = held[size:]
        except OSError:
            pass
        finally:
            for sock in (source, sink):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


@contextmanager
def through(relay: Relay, table: Iscl, change: Callable[[int, bytes], bytes], role: Role = Role.PEER) -> Iterator[tuple[Wire, Between]]:
    """A peer PACS (or the modality) calls the box through somebody in between."""
    sock = socket.create_connection((LOOPBACK, relay.port[role]), 60)
    between = Between(sock, change)
    wire = Wire(IsclSocket(between.ours, table, IsclRole.CLIENT))  # type: ignore[arg-type]
    try:
        yield wire, between
    finally:
        for each in (sock, between.ours, between.theirs):
            each.close()
