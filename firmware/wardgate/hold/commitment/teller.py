"""The modality's side of the desk: gives its requests their results and has it told, where it asked or on a new association."""

from __future__ import annotations

import json
import random
import socket
import time
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.hold.commitment import post
from wardgate.hold.commitment.book import Request
from wardgate.hold.commitment.telling import Telling
from wardgate.hold.pause import Pauses

if TYPE_CHECKING:
    from wardgate.hold.commitment.scribe import Scribe
    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.memory import Pair

SAME_SECONDS: Final = 10.0  # for the worker whose association asked, before another one is opened
MAX_TRIED: Final = 4096  # names of requests whose association is over; those that nobody waits for go when they are more
TELL_SECONDS: Final = 7 * 86400.0  # a modality that does not listen so long is not told any more


class Teller:
    """One a forwarder. Every call is on the loop's thread."""

    def __init__(self, forwarder: Forwarder, scribe: Scribe) -> None:
        self.gate = forwarder.gate
        self._forwarder = forwarder
        self._loop = forwarder.loop
        self._scribe = scribe
        self.book = scribe.book
        self.telling: dict[str, Telling] = {}  # link
        self._pauses: dict[str, Pauses] = {}
        self._workers: dict[str, str] = {}  # request -> socket of the worker on whose association it came
        self._after: dict[str, int] = {}  # request -> look of the forwarder after which it may be ripe
        self._said: dict[str, float] = {}  # request -> until when its worker may say it
        self._tried: set[str] = set()  # whose worker cannot
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def asked_by(self, name: str, worker: str) -> None:
        """A request came on an association of that worker. What it had sent before is known after one more look."""
        self._after[name] = self._forwarder.look_again()
        self._workers[name] = worker

    def gone(self, name: str) -> None:
        """That association is over, or the report on it was not taken."""
        self._tried.add(name)
        self._said.pop(name, None)
        if len(self._tried) > MAX_TRIED:
            self._tried &= self.book.requests.keys()

    def heard(self, name: str) -> None:
        """The modality took the report there."""
        self._forget(name)

    def _forget(self, name: str) -> None:
        """That request is over."""
        self._tried.discard(name)
        self._said.pop(name, None)
        self._workers.pop(name, None)
        self._after.pop(name, None)

    def retry(self) -> None:
        """Try everything now."""
        for pauses in self._pauses.values():
            pauses.worked()

    def give_up(self) -> None:
        """Nobody is told for ever."""
        for request in list(self.book.requests.values()):
            if time.monotonic() - request.since > TELL_SECONDS:
                pair = request.pair
                self.gate.event(Code.COMMITMENT_NOT_HEARD, f"{pair.called}>{pair.calling}", link=pair.link, given_up=True)
                self._forget(request.name)
                self._scribe.write(self.book.told(request.name, heard=False), lambda: None)

    def _held(self, request: Request, uid: str) -> bool:
        """Does the box itself commit it, as receiver of a transfer (PS3.15 A.1.1 d)?"""
        pair = request.pair
        return self._forwarder.originals.commits(pair.link, pair.peer, request.references[uid], uid, request.number)

    def confirmed(self, request: Request) -> None:
        """The modality has heard it: what the box committed itself may be sent on."""
        for uid, reason in request.results.items():
            if reason < 0:
                self._forwarder.originals.confirmed(request.pair.link, request.pair.peer, uid, request.number)

    def repair(self) -> None:
        """The same for what an earlier life had in the journal."""
        for request in self.book.heard():
            self.confirmed(request)

    def _ripe(self, request: Request) -> bool:
        """Has all that was held before the request left the queue?"""
        if self._forwarder.looks < self._after.get(request.name, 0):
            return False
        self._after.pop(request.name, None)
        return not self._forwarder.waits_before((request.pair.link, request.pair.peer), request.number)

    def look(self) -> None:
        """Give results, tell what has them all."""
        if not self.book.requests:
            return
        entries = self.book.settle(self._ripe, self._held)
        if entries:
            self._scribe.write(entries, lambda: None)
            return  # told when they are durable
        if self._scribe.busy:
            return
        for request in list(self.book.requests.values()):
            if request.answered:
                self._tell_one(request)

    def _tell_one(self, request: Request) -> None:
        now = self._loop.now
        worker = self._workers.pop(request.name, "")
        if worker and request.name not in self._tried:
            failed = {uid: reason for uid, reason in request.results.items() if reason >= 0}
            data = json.dumps({"name": request.name, "failed": failed}).encode("ascii")
            try:
                if len(data) <= post.TELL_BYTES:
                    self._socket.sendto(data, worker)
                    self._said[request.name] = now + SAME_SECONDS
                    return
            except OSError:
                pass
        if self._said.get(request.name, 0.0) > now:
            return
        link = request.pair.link
        route = self._forwarder.route(link, request.pair.peer)
        if link in self.telling or route is None or route[0].modality.connect is None:
            return
        if self._pauses.setdefault(link, Pauses(self._forwarder.hold.retry_seconds, random.random)).until > now:
            return
        telling = self.telling[link] = Telling(self, route[0], request.pair)
        telling.begin()

    def next_report(self, pair: Pair) -> Request | None:
        """Return a request of `pair` that is to be told."""
        now = self._loop.now
        for request in self.book.requests.values():
            if request.pair == pair and request.answered and self._said.get(request.name, 0.0) <= now:
                return request
        return None

    def told(self, request: Request) -> None:
        """The modality took the report."""
        self._pauses[request.pair.link].worked()
        self.gate.event(
            Code.COMMITMENT_TOLD, f"{request.pair.called}>{request.pair.calling}", link=request.pair.link, transaction=request.transaction,
            instances=len(request.references), failed=sum(reason >= 0 for reason in request.results.values()),
        )  # fmt: skip
        self._forget(request.name)
        self._scribe.write(self.book.told(request.name), lambda: self.confirmed(request))

    def ended(self, telling: Telling, failed: bool) -> None:
        """An association to a modality is over."""
        self.telling.pop(telling.link.name, None)
        if failed:
            self._pauses[telling.link.name].failed(self._loop.now)
