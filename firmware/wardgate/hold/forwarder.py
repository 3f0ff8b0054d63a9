"""The hold forwarder: the process that sends what is held. Started by the master with its control socket's descriptor as argument."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.hold.commitment.desk import Desk
from wardgate.hold.commitment.post import WORD
from wardgate.hold.confirming import MISSING, Confirming
from wardgate.hold.confirming import WORD as RECORD
from wardgate.hold.files import is_passing
from wardgate.hold.keeper import poke_path
from wardgate.hold.kept import Kept
from wardgate.hold.memory import Answer, ContextMemory, Pair
from wardgate.hold.originals import Originals
from wardgate.hold.parties import secure_parties
from wardgate.hold.pause import Pauses
from wardgate.hold.port import Port
from wardgate.hold.questions import Questions
from wardgate.hold.queue import Lane, Queue
from wardgate.hold.scan import Place
from wardgate.hold.seal import Damaged
from wardgate.hold.sending import Sending
from wardgate.hold.settle import Settling
from wardgate.hold.store import Entry, State, Store
from wardgate.hold.syncer import Syncer
from wardgate.hold.unlogged import carried_in
from wardgate.hold.wrap import wrapper_for
from wardgate.log import Log
from wardgate.policy.model import Config, Link, Party, build
from wardgate.relay.child import begin
from wardgate.relay.control import Control
from wardgate.relay.custodian import Custodian
from wardgate.relay.defects import traceback_of
from wardgate.relay.gate import Gate
from wardgate.relay.loop import IN, Loop
from wardgate.unixsocket import bound

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN_SECONDS: Final = 10.0  # between looks at the directory, besides being told
COUNT_SECONDS: Final = 60.0
SYNC_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 2.0  # until it is tried again to write down what only this process knows
TOKEN_SECONDS: Final = 5.0
KEYS_PREFIX: Final = "WG7"
LOCK_SECONDS: Final = 0.2
STOP_SECONDS: Final = 15.0
POKE_BYTES: Final = 65536
_MAX_POKES: Final = 4096


def _nothing() -> None:
    """Nobody waits for it."""


class Forwarder:
    """Queue, lanes and the associations under way."""

    def __init__(self, control: socket.socket, start: dict[str, Any]) -> None:
        config: Config = build(start["config"])
        config = config._replace(box=config.box._replace(hash_threads=0))
        assert config.hold is not None
        self.config = config
        self.hold = config.hold
        self.log = Log("hold")

        def defect(error: Exception) -> None:
            self.log.event(Code.WORKER_DEFECT, detail=f"{type(error).__name__}: {error}", where=traceback_of(error))

        self.loop = Loop(defect)
        from wardgate.custody.client import CustodyClient
        from wardgate.transport.sockets import PlainSockets

        client = CustodyClient(config.writer_socket, f"hold.{os.getpid()}", time.monotonic)
        self._custodian = Custodian(self.loop, client, config.limits.record_seconds, defect)
        self.gate = Gate(config, self.loop, self.log, self._custodian, PlainSockets())
        secure_parties(config, self.gate)
        self.store = Store(self.hold.directory, wrapper_for(self.hold, config.keys))
        self.syncer = Syncer(self.loop.call, self.store.sync)
        self._teacher = Syncer(self.loop.call, threads=1)
        self.memory = ContextMemory(self.store.contexts, self.store.files)
        self.queue = Queue(lambda: Pauses(self.hold.retry_seconds, random.random))
        self.sendings: set[Sending] = set()
        self._settling: Settling | None = None
        self._unrecorded: dict[str, Entry] = {}
        self._recording: set[str] = set()
        self._later: set[str] = set()  # whose record could not be written, until the next look
        self._syncing = False
        self.unwritten = False  # what became of an instance is known to this process alone: nothing more is sent until the disk has it
        self.kept = Kept(self)
        self._routes = {(link.name, peer.name): (link, peer) for link in config.links for peer in link.peers}
        self._no_route: set[tuple[str, str]] = set()
        self.originals = Originals(self)
        self.confirming = Confirming(self)
        self.questions = Questions(self)
        self.desk = Desk(self)
        self._lock = -1
        self._scan_at = 0.0
        self.looks = 0
        self._count_at = 0.0
        self._stop_at = 0.0
        self._told_locked = False
        self.forwarded = 0
        self._poke = bound(poke_path(config.box.run_dir), socket.SOCK_DGRAM)
        self._port = Port(self.loop, os.path.join(config.box.run_dir, "hold.sock"), self.questions.answer)
        self.loop.register(self._poke.fileno(), self._poked, IN)
        self._control = Control(self.loop, control, self._told_by_master, self._stop)
        self.loop.each_tick(self._tick)

    def run(self) -> None:
        """Serve until told to stop."""
        self._custodian.connect()
        self._control.say({"is": "ready"})
        self._take_lock()
        self.loop.run()
        self._port.close()

    # --- the directory

    def _take_lock(self) -> None:
        """Only one forwarder sends: an older one finishes first."""
        fd = os.open(os.path.join(self.store.directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            if not self._told_locked:
                self._told_locked = True
                self.log.event(Code.HOLD_LOCKED)
            return
        self._lock = fd
        self.desk.scribe.open()
        self._port.listen()
        self.originals.restore()
        self._scan()
        self.desk.repair()
        self.log.event(Code.HOLD_STARTED, waiting=len(self.queue), quarantined=len(self.store.quarantined()))

    def _scan(self) -> None:
        """Look what is in the directory: at the start, then now and then."""
        self._scan_at = self.loop.now + SCAN_SECONDS
        self.looks += 1
        self.store.look()
        removed, damaged = self.store.clear()
        if removed:
            self.log.event(Code.HOLD_LEFTOVER, files=removed)
        for place in damaged:
            self.log.event(Code.HOLD_DAMAGED, file=place, detail="no mark can be read there")
        for entry in self.store.entries():
            self._found(entry)
        self.store.all_logged(self.confirming.stems, self.confirming.unread)
        self.confirming.ask()
        if self.loop.now >= self._count_at:
            self._count_at = self.loop.now + COUNT_SECONDS
            self.store.count_bytes()
        self.start_lanes()

    def _found(self, entry: Entry) -> None:
        if entry.state in (State.ANSWERED, State.AWAITING) and entry.stem not in self._recording and entry.stem not in self.kept:
            if self.desk.keeps(entry.stem):
                self.kept.keep(entry)
            else:
                self._unrecorded.setdefault(entry.stem, entry)
                self._later.discard(entry.stem)
        if entry.state is not State.WAITING or self.queue.knows(entry.stem) or entry.stem in self.confirming:
            return
        try:
            reader = self.store.read(entry)
            reader.close()
            header = reader.header
            unsure = reader.record and not self.store.is_logged(entry) and self.store.facts(entry.stem).get(RECORD) != MISSING
            carried = carried_in(reader.record) if unsure else None
        except FileNotFoundError:
            return
        except (Damaged, OSError) as error:
            if is_passing(error):  # found again at the next look
                self.log.event(Code.HOLD_NOT_OPENED, file=entry.name, detail=error)
                return
            self.log.event(Code.HOLD_DAMAGED, file=entry.name, detail=error)
            self.confirming.unread.add(entry.place.path)
            why = {"code": str(Code.HOLD_DAMAGED), "reason": "damaged", "detail": str(error)[:200]}
            self.set_aside(entry, why)
            return
        pair = Pair(header.link, header.peer, header.calling, header.called)
        syntaxes = (header.abstract_syntax, header.transfer_syntax)
        if carried is None:
            self.queue.add(entry, pair, *syntaxes)
        else:
            self.confirming.wait(entry, pair, syntaxes, carried)

    def _poked(self, _events: int) -> None:
        for _ in range(_MAX_POKES):
            try:
                packet = self._poke.recv(POKE_BYTES).decode("utf-8", "replace")
            except BlockingIOError:
                break
            for line in packet.split("\n"):
                self._told(line.split("\0"))
        self.start_lanes()

    def _told(self, words: list[str]) -> None:
        if words[0] == WORD:
            self.desk.poked(words)
        elif self._lock >= 0 and len(words) == 10 and (words[2] + words[3]).isdigit():
            entry = self.store.told(words[0], Place(words[1], int(words[2]), int(words[3])))
            self.confirming.logged(words[0])
            if entry is not None:  # only where it belongs and what it needs; what is sent is read from its segment
                self.queue.add(entry, Pair(*words[4:8]), words[8], words[9])

    # --- lanes

    def start_lanes(self) -> None:
        """Begin what is due."""
        if self._lock < 0 or self._stop_at:
            return
        for lane in self.queue.ready(self.loop.now, self.hold.associations_per_peer):
            if not self.unwritten and not self.confirming.before(lane.pair, lane.ahead(1)[0].number):
                self._start(lane)
        if self._unrecorded and self._settling is None:
            self._settling = Settling(self, dict(self._unrecorded))
            self._recording |= set(self._unrecorded)
            self._unrecorded.clear()
            self._settling.begin()

    def _start(self, lane: Lane) -> None:
        route = self._routes.get((lane.pair.link, lane.pair.peer))
        if route is None or route[1].connect is None:
            key = (lane.pair.link, lane.pair.peer)
            if key not in self._no_route:
                self._no_route.add(key)
                self.log.event(Code.HOLD_NO_ROUTE, link=key[0], peer_name=key[1], waiting=len(lane))
            lane.destination.last_code = str(Code.HOLD_NO_ROUTE)
            return
        link: Link = route[0]
        peer: Party = route[1]
        sending = Sending(self, lane, link, peer)
        self.sendings.add(sending)
        sending.begin()

    def ended(self, sending: Sending, failed: bool) -> None:
        """An association is over."""
        self.sendings.discard(sending)
        self.forwarded += sending.delivered
        lane = sending.lane
        if sending.delivered:
            self.log.event(Code.HOLD_FORWARDED, sending.titles, link=sending.link.name, instances=sending.delivered, waiting=len(lane))
        if failed:
            pauses = lane.destination.pauses
            seconds = pauses.failed(self.loop.now)
            if lane.destination.last_code.startswith(KEYS_PREFIX):  # our own token, which may come back at any time
                seconds = min(seconds, TOKEN_SECONDS)
                pauses.until = self.loop.now + seconds
            self.log.event(Code.HOLD_RETRY, sending.titles, link=sending.link.name, waiting=len(lane), seconds=f"{seconds:.1f}")
        if not len(lane):
            self.queue.forget(lane)
        self.loop.soon(self.start_lanes)
        if self._stop_at:
            self._leave_if_done()

    def settled(self, done: list[tuple[Entry, Pair, str, str]], failed: list[Entry]) -> None:
        """Records of an earlier life were written, or not."""
        self._settling = None
        for entry, pair, sop_class, instance in done:
            self.kept.delivered(entry, pair, sop_class, instance)
        for entry in failed:
            self.unrecorded(entry)
        if self._stop_at:
            self._leave_if_done()

    def recording(self, entry: Entry) -> None:
        """Its answer is written down, and its record is under way."""
        self._recording.add(entry.stem)

    def recorded(self, entry: Entry) -> None:
        """Its record is durable too."""
        self._recording.discard(entry.stem)

    def put_back(self, entries: list[Entry]) -> None:
        """Give instances that were set aside their turn again."""
        for entry in entries:
            self.store.put_back(entry.stem)
        self._scan()

    def route(self, link: str, peer: str) -> tuple[Link, Party] | None:
        """Return the configuration of a destination."""
        return self._routes.get((link, peer))

    def sends_to(self, where: tuple[str, str]) -> bool:
        """Does something wait for that destination, or is being sent to it?"""
        lanes = self.queue.lanes.values()
        return any((lane.pair.link, lane.pair.peer) == where and (len(lane) or lane.busy) for lane in lanes) or any(
            True for _ in self.confirming.waiting_for(where)
        )

    def waits_before(self, where: tuple[str, str], number: int) -> bool:
        """Is something with a lower number still on its way to that destination, or not yet known to have arrived there?"""
        heads = (lane.head() for lane in self.queue.lanes.values() if (lane.pair.link, lane.pair.peer) == where)
        if any(head is not None and head.number < number for head in heads):
            return True
        if any(unsure < number for unsure in self.confirming.waiting_for(where)):
            return True
        # Answered, and its record is under way: whose it was does not matter, it will not be long.
        return any(int(stem[:16]) < number for stem in (*self._recording, *self._unrecorded, *self._later))

    @property
    def unrecorded_now(self) -> int:
        """How many were answered and have no record yet."""
        return len(self._unrecorded)

    def try_again(self) -> None:
        """A person asks: look at once, also for destinations that had no route."""
        self._no_route.clear()
        self._scan()

    def look_again(self) -> int:
        """Look into the directory soon; return the number of that look, which `looks` reaches when it is done."""
        self._scan_at = 0.0
        return self.looks + 1

    def remove(self, entry: Entry) -> None:
        """It is not needed any more; its space comes back beside the loop."""
        self._recording.discard(entry.stem)
        try:
            self.store.remove(entry)
        except OSError as error:  # found again at the next look: its record is then written once more
            self.log.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)
        self.sync_soon()

    def sync_soon(self) -> None:
        """Make notes durable that nobody waits for, several at once."""
        if not self._syncing:
            self._syncing = True

            def sync() -> None:
                self.syncer.sync(done)

            def done(error: Exception | None) -> None:
                if error is not None:
                    self.loop.at(AGAIN_SECONDS, sync)
                    return
                self._syncing = self.unwritten = False
                if self._stop_at:
                    self._leave_if_done()
                else:
                    self.start_lanes()

            self.loop.at(SYNC_SECONDS, sync)

    def not_written(self, entry: Entry, error: Exception) -> None:
        """What became of an instance is not on the disk: a process that comes after this one would send it again."""
        self.gate.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)
        self.unwritten = True
        self.sync_soon()

    def set_aside(self, entry: Entry, why: dict[str, Any], done: Callable[[], None] = _nothing) -> None:
        """Put an instance into quarantine, at once: no look finds it waiting meanwhile. `done()`: it is durable, or could not be."""

        def synced(error: Exception | None) -> None:
            if error is not None:  # after a restart it may be found where it was
                self.not_written(entry, error)
            done()

        error = self.store.set_aside(entry, why)
        if error is not None:
            self.not_written(entry, error)
        self.syncer.sync(synced)

    def unrecorded(self, entry: Entry) -> None:
        """Its record could not be written: tried again at the next look."""
        self._recording.discard(entry.stem)  # the next look finds it
        self._later.add(entry.stem)

    def teach(self, pair: Pair, told: list[Answer]) -> None:
        """Remember what the destination accepted."""

        def work() -> None:
            self.memory.teach(pair, told)

        self._teacher.submit(work, lambda _error: None)

    # --- the master

    def _told_by_master(self, message: dict[str, Any]) -> None:
        if message.get("do") in ("drain", "stop"):
            self._stop()

    def _stop(self) -> None:
        """Finish what is being sent, then leave."""
        if self._stop_at:
            return
        self._stop_at = time.monotonic() + STOP_SECONDS
        for sending in list(self.sendings):
            sending.stop()
        self.desk.stop()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        writing = self._settling is not None or self._custodian.unanswered or self.unwritten
        idle = not (self.sendings or self.desk.busy or writing or self.loop.parting)
        if idle or time.monotonic() > self._stop_at:
            if self._lock >= 0:
                self.log.event(Code.HOLD_STOPPED, waiting=len(self.queue))
            self._control.say({"is": "drained"})
            self.loop.stop()

    def _tick(self) -> None:
        now = self.loop.now
        for sending in list(self.sendings):
            sending.tick(now)
        if self._lock >= 0:
            self.desk.tick(bool(self._stop_at))
        if self._stop_at:
            self._leave_if_done()
            return
        if self._lock < 0:
            self._take_lock()
            return
        if now >= self._scan_at:
            self._scan()
        else:
            self.confirming.ask()
            self.start_lanes()
        if self.gate.ended:
            self.gate.ended = 0
            gc.collect()


def main() -> int:
    """Take the start message from the control socket, serve, leave."""
    return begin("wardgate.hold.forwarder", lambda control, start: Forwarder(control, start).run)


if __name__ == "__main__":
    sys.exit(main())
