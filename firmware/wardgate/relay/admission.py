"""Takes connections from the listening sockets, within the caps, and finds who is calling."""

from __future__ import annotations

import socket
import time
from typing import Final

from wardgate.codes import Code
from wardgate.relay.association import Association
from wardgate.relay.census import Count
from wardgate.relay.gate import Gate, Post
from wardgate.relay.loop import FEW_EVENTS, IN

ACCEPT_AT_ONCE: Final = 64  # then the other sockets have their turn
LEAVE_SECONDS: Final = 0.002  # to a worker that has fewer; then whoever is first takes it


class Admission:
    """The listening sockets of a worker. They are shared with the other workers and never block."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._posts: dict[int, tuple[socket.socket, Post]] = {}
        gate.loop.each_tick(self._tick)
        self._paused = False
        self._left_since = 0.0  # since when a connection is left to another worker, monotonic seconds; 0: none is

    def open(self, sock: socket.socket, post: Post) -> None:
        """Begin to accept on `sock`."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # whoever is accepted inherits it
        self._posts[sock.fileno()] = (sock, post)
        self._gate.census.accepts(True)
        self._gate.loop.register(sock.fileno(), lambda _events: self._accept(sock, post), IN)

    def close(self) -> None:
        """Accept no more; the listening sockets of this worker are closed."""
        self._gate.census.accepts(False)
        for sock, _post in self._posts.values():
            self._gate.loop.discard(sock)
        self._posts.clear()

    def _accept(self, sock: socket.socket, post: Post) -> None:
        gate = self._gate
        # While little else is to be done `epoll` tells of the next one as quickly as asking here would.
        for _ in range(ACCEPT_AT_ONCE if gate.loop.ready > FEW_EVENTS else 1):
            if self._leave():
                return
            try:
                caller, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:  # EMFILE and the like: let what runs go on, look again at the next tick
                gate.event(Code.TOO_MANY_ASSOCIATIONS, post.endpoint, detail=error.strerror)
                self._pause()
                return
            host, port = address[0], address[1]
            self._admit(caller, post, host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def _leave(self) -> bool:
        """Leave the next connection to another worker that has fewer? Not for long: that one may be busy, and ours are served meanwhile."""
        if not self._gate.census.others_have_fewer():
            self._left_since = 0.0
            return False
        now = time.monotonic()
        if not self._left_since:
            self._left_since = now
        if now - self._left_since < LEAVE_SECONDS:
            return True
        self._left_since = 0.0
        return False

    def _admit(self, caller: socket.socket, post: Post, host: str, address: str) -> None:
        gate = self._gate
        callers = post.callers(host)
        caller.setblocking(False)
        code = Code.NO_LINK if not callers else self._counted(host)  # from here on nothing fails: what is counted must be counted out
        if code is not None:
            # No byte of DICOM before the caller is known: it is closed, not rejected. The log says why.
            gate.event(code, host, port=post.endpoint)
            for link, _party in callers:
                gate.links[link.name].refused += 1
                break
            caller.close()
            return
        Association(gate, callers, caller, host, address).begin()

    def _counted(self, host: str) -> Code | None:
        """Count a connection from `host`, and take it back with the reason when that is one too many for the box."""
        gate = self._gate
        census, limits = gate.census, gate.limits
        if not census.arrived(host):
            return Code.TOO_MANY_ASSOCIATIONS
        code = None
        if self._full(census.of(host), limits.connections_per_peer, Code.TOO_MANY_FROM_PEER, host):
            code = Code.TOO_MANY_FROM_PEER
        elif self._full(census.everybody(), limits.associations, Code.TOO_MANY_ASSOCIATIONS, None):
            code = Code.TOO_MANY_ASSOCIATIONS
        if code is not None:
            census.left(host, silent=True)
        return code

    def _full(self, count: Count, bound: int, code: Code, host: str | None) -> bool:
        """Is the one just counted too many, and nobody silent gives way?

        Silent ones of another worker cannot be ended from here. Where we have none to end, they count for nothing: they must not shut
        out a study, and their own deadline ends them.
        """
        return count.all > bound and not self._gives_way(code, host) and count.all - count.silent_elsewhere > bound

    def _gives_way(self, code: Code, host: str | None) -> bool:
        """End the oldest connection (of `host`) that has not said who it is, for one that may. Silent callers must not shut out a study."""
        for association in self._gate.embryos:
            if host is None or association.host == host:
                association.fail(code, association.acceptor)
                return True
        return False

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            for fd in self._posts:
                self._gate.loop.modify(fd, 0)

    def _tick(self) -> None:
        if self._paused:
            self._paused = False
            for fd in self._posts:
                self._gate.loop.modify(fd, IN)
