"""The socket factory of the plant: asks `netd` for sockets that stand in for others. Kept lean: master and workers load it."""

from __future__ import annotations

import errno
import os
import socket
import time

from wardgate.codes import Code
from wardgate.plant import wire
from wardgate.policy.endpoint import Endpoint

_START_SECONDS = 15.0  # the master may be quicker than netd after power-on
_POLL_SECONDS = 0.1


class NetdError(OSError):
    """`netd` gave no socket; `code` says why."""

    def __init__(self, number: int, text: str, code: Code) -> None:
        super().__init__(number, text)
        self.code = code


class PlantSockets:
    """`transport.sockets.SocketFactory` over `netd`. Every call waits for its answer: workers call `connect` in a thread."""

    waits = True

    def __init__(self, path: str) -> None:
        self._path = path

    def listen(self, endpoint: Endpoint) -> socket.socket:
        """Return a socket that listens where `endpoint`'s owner is called. Raises `OSError`."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self._ask({"op": "listen", "endpoint": endpoint.text})
            except NetdError as error:
                if error.code is not Code.NETD_UNREACHABLE or time.monotonic() > until:
                    raise
                time.sleep(_POLL_SECONDS)

    def connect(self, endpoint: Endpoint, source: Endpoint | None = None) -> socket.socket:
        """Return a socket whose connect to `endpoint` has begun in the name of `source`. Raises `OSError`."""
        if source is None:
            raise OSError(errno.EINVAL, "in the bridge a leg needs the address it is opened for")
        return self._ask({"op": "connect", "target": endpoint.text, "source": source.text})

    def original_destination(self, sock: socket.socket) -> Endpoint | None:
        """Return where the caller meant to connect to: the accepted socket carries it."""
        address = sock.getsockname()
        return Endpoint(address[0], address[1])

    def _ask(self, message: dict[str, object]) -> socket.socket:
        try:
            answer, fd = wire.ask(self._path, message)
        except (OSError, wire.WireError, EOFError) as error:
            raise NetdError(errno.ECONNREFUSED, f"netd at {self._path}: {error}", Code.NETD_UNREACHABLE) from error
        if answer.get("ok") is True and fd is not None:
            return socket.socket(fileno=fd)
        if fd is not None:
            os.close(fd)
        number = answer.get("errno")
        name = str(answer.get("code"))
        code = Code[name] if name in Code.__members__ else Code.PLANT_NO_NETD_SOCKET
        raise NetdError(number if isinstance(number, int) else errno.EACCES, str(answer.get("detail")), code)
