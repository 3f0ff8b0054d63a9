"""Where listening and connecting sockets come from: a factory, so that a later one can give transparent sockets."""

from __future__ import annotations

import errno
import os
import socket
from functools import lru_cache

from wardgate.policy.endpoint import Endpoint

TYPE_CHECKING = False  # the master does without `typing`, which is 1 MiB
if TYPE_CHECKING:
    from typing import Any, Final, Protocol
else:
    Protocol = object

BACKLOG: Final = 1024
_MAX_KNOWN: Final = 256


class SocketFactory(Protocol):
    """Gives TCP sockets: non-blocking, close-on-exec, without Nagle. `waits`: `connect` asks another process and is for a thread."""

    waits: bool

    def listen(self, endpoint: Endpoint) -> socket.socket:
        """Return a listening socket. Raises `OSError`."""
        ...

    def connect(self, endpoint: Endpoint, source: Endpoint | None = None) -> socket.socket:
        """Return a socket whose connect to `endpoint` has begun, in the name of `source` if the factory can. Raises `OSError`."""
        ...

    def original_destination(self, sock: socket.socket) -> Endpoint | None:
        """Return where the caller meant to connect to, when the factory redirects; None: to us."""
        ...


class PlainSockets:
    """Ordinary TCP sockets of this host, IPv4 and IPv6: in nobody's name but its own."""

    waits = False

    def listen(self, endpoint: Endpoint) -> socket.socket:
        """Return a listening socket; port 0 takes any. Accepted sockets inherit TCP_NODELAY."""
        family, address = _resolve(endpoint, passive=True)
        sock = _new(family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # [::] and 0.0.0.0 may both be listened on
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    def connect(self, endpoint: Endpoint, source: Endpoint | None = None) -> socket.socket:
        """Return a socket whose connect has begun. A host name is looked up first, which blocks: the event loop gives addresses."""
        del source
        family, address = _resolve(endpoint, passive=False)
        sock = _new(family)
        try:
            result = sock.connect_ex(address)
            if result not in (0, errno.EINPROGRESS):
                raise OSError(result, os.strerror(result))
        except OSError:
            sock.close()
            raise
        return sock

    def original_destination(self, sock: socket.socket) -> Endpoint | None:
        """Return None: nothing is redirected."""
        return None


def sockets_for(ports: str, netd: str) -> SocketFactory:
    """Return the factory for `plant.ports`; `netd` is its socket."""
    if ports != "bridge":
        return PlainSockets()
    from wardgate.plant.sockets import PlantSockets

    return PlantSockets(netd)


class Listener(socket.socket):
    """A listening socket whose `accept` makes no members of `enum` from numbers and numbers from them, at each call."""

    family = type = 0  # type: ignore[assignment]

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.family, self.type = int(super().family), int(super().type)


def quickack(sock: socket.socket) -> None:
    """Send pending ACKs now. To be called after each read: stacks with Nagle on wait 40 ms for them otherwise."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _new(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@lru_cache(maxsize=_MAX_KNOWN)
def _numeric(host: str, port: int) -> tuple[int, Any] | None:
    """Return family and socket address of an address; None for a name, which is looked up each time.

    As bytes: for a `str` Python loads its IDNA codec and the tables of `unicodedata`.
    """
    try:
        found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return found[0][0], found[0][4]


def _resolve(endpoint: Endpoint, *, passive: bool) -> tuple[int, Any]:
    """Return family and socket address; no lookup when the host is an address (with %zone for link-local IPv6)."""
    known = _numeric(endpoint.host, endpoint.port) if "%" not in endpoint.host else None  # the number of a zone may change
    if known is not None:
        return known
    flags = socket.AI_PASSIVE if passive else 0
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=flags)
    family, _, _, _, address = found[0]
    return family, address
