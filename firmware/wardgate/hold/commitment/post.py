"""What a worker has of storage commitment: the inbox, the forwarder's ear, and a socket on which the forwarder has reports said."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Final

from wardgate.hold.commitment.inbox import Inbox, Message
from wardgate.relay.loop import IN
from wardgate.unixsocket import bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.hold.commitment.service import Service
    from wardgate.hold.keeper import Keeper
    from wardgate.relay.loop import Loop

WORD: Final = "commitment"  # first word to the forwarder's ear
GONE: Final = "gone"
TELL_BYTES: Final = 65536


class Post:
    """One a worker, made when the first commitment context is accepted. Raises `OSError`."""

    def __init__(self, keeper: Keeper, run_dir: str, loop: Loop) -> None:
        self._keeper = keeper
        self._inbox = Inbox(keeper.store.directory, keeper.store.files)
        self._followed: dict[str, Service] = {}
        self.address = os.path.join(run_dir, f"commitment-{os.getpid()}.sock")
        self._socket = bound(self.address, socket.SOCK_DGRAM)
        loop.register(self._socket.fileno(), self._asked, IN)

    def number(self) -> int:
        """Return the place in the queue behind everything that was taken so far."""
        return self._keeper.store.counters.take_number()

    def put(self, message: Message, done: Callable[[str, Exception | None], None]) -> None:
        """Make a message durable beside the loop, then `done(name, error)`; tell the forwarder."""
        name = [""]

        def work() -> None:
            if self._inbox.full(message.kind):
                raise OSError(28, "too many messages wait")
            name[0] = self._inbox.put(message)

        def finished(error: Exception | None) -> None:
            done(name[0], error)
            if error is None:
                self._keeper.tell_forwarder(WORD)

        self._keeper.syncer.submit(work, finished, sync=False)

    def follow(self, name: str, service: Service) -> None:
        """The association of this request is open."""
        self._followed[name] = service

    def gone(self, name: str) -> None:
        """It is not, or its report was not taken."""
        self._followed.pop(name, None)
        self._keeper.tell_forwarder(WORD, GONE, name)

    def close(self) -> None:
        """The worker ends."""
        self._socket.close()
        try:
            os.unlink(self.address)
        except OSError:
            pass

    def _asked(self, _events: int) -> None:
        while True:
            try:
                data = self._socket.recv(TELL_BYTES)
            except BlockingIOError:
                return
            try:
                found = json.loads(data)
                name, failed = str(found["name"]), {str(uid): int(reason) for uid, reason in found["failed"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            service = self._followed.pop(name, None)
            if service is None or not service.tell(name, failed):
                self._keeper.tell_forwarder(WORD, GONE, name)
