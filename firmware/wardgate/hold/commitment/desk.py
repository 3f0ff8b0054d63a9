"""The desk of storage commitment, in the forwarder: takes what happens, writes it into the journal, and only then lets it be seen.

It asks destinations and takes their reports; `teller` has modalities told. What may be claimed is the peer's `commitment` in the
configuration: `destination` only what the destination itself has committed, `stored` what it has answered with success.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.dimse.commitment import SOP_CLASS, Reference, Report
from wardgate.hold.commitment import post
from wardgate.hold.commitment.asking import Asking
from wardgate.hold.commitment.book import GROUP, Request, Step, Where
from wardgate.hold.commitment.inbox import Inbox, Kind, Message
from wardgate.hold.commitment.recording import record
from wardgate.hold.commitment.scribe import Scribe
from wardgate.hold.commitment.teller import Teller
from wardgate.hold.memory import Answer, Pair
from wardgate.hold.pause import Pauses
from wardgate.policy.model import Commitment, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.hold.forwarder import Forwarder

GROUP_SECONDS: Final = 10.0  # the longest that something waits to be asked while more is being sent
TRIES: Final = 3  # transactions without a report in which an instance was asked
REFUSED_SECONDS: Final = 3600.0  # before a destination that does not do it is asked again
LOOK_SECONDS: Final = 10.0
OVERDUE_SECONDS: Final = 1.0


class Desk:
    """One a forwarder, which has the lock. Every call is on the loop's thread."""

    def __init__(self, forwarder: Forwarder) -> None:
        self.gate = forwarder.gate
        self._forwarder = forwarder
        self._loop = forwarder.loop
        store = forwarder.store
        self.scribe = Scribe(self.gate, store)
        self.book = self.scribe.book
        self.write = self.scribe.write
        self.teller = Teller(forwarder, self.scribe)
        self._inbox = Inbox(store.directory, store.files)
        self._look_at = 0.0
        self._overdue_at = 0.0
        self._reading: set[str] = set()  # messages that are being taken in
        self._event_now = ""  # the report among them
        self._releasing: set[tuple[Where, str]] = set()
        self._since: dict[Where, float] = {}  # when something began to wait
        self._pauses: dict[Where, Pauses] = {}
        self._refused: dict[Where, float] = {}  # where it is not done -> until when it is not asked
        self._asking: dict[Where, Asking] = {}

    def repair(self) -> None:
        """Do what an earlier life had in the journal and did not come to: files of instances that have a result."""
        for link, peer, uid in sorted(set(self.book.kept.values())):
            self._release((link, peer), [uid])
        self.teller.repair()

    @property
    def busy(self) -> bool:
        """Is something on its way to the disk or under way outside?"""
        return bool(self.scribe.busy or self._reading or self._asking or self.teller.telling)

    # --- what the forwarder tells

    def policy(self, link: str, peer: str) -> Commitment:
        """Return what may be claimed of a destination."""
        route = self._forwarder.route(link, peer)
        return route[1].commitment if route is not None else Commitment.OFF

    def keeps(self, stem: str) -> bool:
        """Is this file, which the destination has taken, kept until it is committed? Then its record is written."""
        return stem in self.book.kept

    def delivered(
        self,
        pair: Pair,
        sop_class: str,
        instance: str,
        stem: str,
        remove: Callable[[], None],
        kept: Callable[[], None],
        original: bool = False,
    ) -> None:
        """The destination took an instance, and that is recorded. Its bytes are not needed any more (`remove`), or until it is committed
        (`kept`, when the journal has it), as an `original` always is."""
        policy = self.policy(pair.link, pair.peer)
        where = (pair.link, pair.peer)
        if policy is Commitment.OFF or (
            policy is Commitment.DESTINATION and self._refused.get(where, 0.0) > self._loop.now and not original
        ):
            remove()
            return
        ask = policy is Commitment.DESTINATION
        keep = ask and (original or SOP_CLASS in self._forwarder.memory.recall(pair))
        entries = self.book.sent(pair, sop_class, instance, stem if keep else "", ask)
        self.write(entries, kept if keep else remove)

    def poked(self, words: list[str]) -> None:
        """A worker says that something came, or that it cannot tell."""
        if len(words) > 2 and words[1] == post.GONE:
            self.teller.gone(words[2])
        self._look_at = 0.0

    # --- the inbox

    def _look(self) -> None:
        self._look_at = self._loop.now + LOOK_SECONDS
        room = True
        for name in self._inbox.names():
            if name in self._reading:
                continue
            try:
                message = self._inbox.get(name)
            except OSError as error:  # looked at again at the next look; those behind do not wait for it
                self.gate.event(Code.COMMITMENT_JOURNAL, detail=error, file=name)
                continue
            if message is None:
                self.gate.event(Code.COMMITMENT_JOURNAL, detail="a message that cannot be read is put away", file=name)
                self._remove(name)
            elif message.kind is Kind.ACTION:
                # The oldest request first; those behind it wait too, but not the reports, which make room.
                room = room and self.book.room(len(message.references))
                if room:
                    self._action(name, message)
            elif message.kind is Kind.EVENT:
                if not self._event_now:  # one after the other: a repeated one finds what the first one changed
                    self._event_now = name
                    self._reading.add(name)
                    self._event(name, message)
            else:
                self._reading.add(name)
                self.teller.heard(message.name)
                request = self.book.requests.get(message.name)
                self.write(self.book.told(message.name), lambda name=name, request=request: self._heard(name, request))  # type: ignore[misc]

    def _action(self, name: str, message: Message) -> None:
        self._reading.add(name)
        self.write(self.book.wanted(name, message.pair, message.report(), message.number), lambda: self._read(name))
        if name in self.book.requests:  # else it repeats another one, which waits already
            self.teller.asked_by(name, message.worker)

    def _event(self, name: str, message: Message) -> None:
        def done(good: bool) -> None:
            self._event_now = ""
            self._look_at = 0.0
            if good:
                self._read(name)
            else:
                self._loop.at(LOOK_SECONDS, lambda: self._reading.discard(name))

        self.reported(message.pair, message.report(), name, done)

    def _heard(self, name: str, request: Request | None) -> None:
        if request is not None:
            self.teller.confirmed(request)
        self._read(name)

    def _read(self, name: str) -> None:
        self._remove(name)
        self._reading.discard(name)

    def _remove(self, name: str) -> None:
        try:
            self._inbox.remove(name)
        except OSError as error:  # read once more, which changes nothing
            self.gate.event(Code.COMMITMENT_JOURNAL, detail=error, file=name)

    # --- the destination

    def teach(self, pair: Pair, told: list[Answer]) -> None:
        """Remember whether the destination does storage commitment."""
        self._forwarder.teach(pair, told)

    def next_transaction(self, pair: Pair, ask: Callable[[str, tuple[Reference, ...]], None]) -> bool:
        """Put the next transaction of `pair` into the journal and let it be asked; false when there is nothing."""
        where = (pair.link, pair.peer)
        entries = self.book.ask(where, _new_uid)
        if not entries or Pair(*entries[0]["pair"]) != pair:
            return False
        uid = entries[0]["t"]
        references = tuple(Reference(self.book.instances[(*where, each)].sop_class, each) for each in entries[0]["uids"])
        self.write(entries, lambda: ask(uid, references))
        return True

    def not_asked(self, uid: str) -> None:
        """Its association ended before the N-ACTION left: that was no try."""
        self.write(self.book.again(uid, unsent=True), lambda: None)

    def not_taken(self, pair: Pair, uid: str, status: int) -> None:
        """The destination refused the N-ACTION."""
        self.gate.event(Code.COMMITMENT_LATE, f"{pair.calling}>{pair.called}", link=pair.link, transaction=uid, status=f"{status:04X}")
        self.write(self.book.again(uid), lambda: None)

    def asking_ended(self, asking: Asking, failed: bool) -> None:
        """An association to a destination is over."""
        where = (asking.pair.link, asking.pair.peer)
        self._asking.pop(where, None)
        pauses = self._pauses_of(where)
        if asking.refused:
            if where not in self._refused:
                self.gate.event(Code.COMMITMENT_NOT_DONE, asking.titles, link=where[0], peer_name=where[1])
            self._refused[where] = self._loop.now + REFUSED_SECONDS
            # What is kept waits on, in case it does it again; what is not kept is not followed any more.
            uids = [uid for uid in self.book.waits.get(where, ()) if not self.book.instances[(*where, uid)].stems]
            self.write(self.book.give_up(where, uids), lambda: None)
        elif asking.worked:
            self._refused.pop(where, None)
            pauses.worked()
        elif failed:
            pauses.failed(self._loop.now)

    def reported(self, pair: Pair, report: Report, name: str, done: Callable[[bool], None]) -> None:
        """The destination reports. Records first, then the journal, then what follows. `name`: of the message, or ""."""
        where = (pair.link, pair.peer)
        entries, judged = self.book.report(where, report)
        titles = f"{pair.calling}>{pair.called}"
        if judged.transaction is None:
            route = self._forwarder.route(*where)
            if name and route is not None and route[0].delivery is Delivery.RELAY_THEN_HOLD:  # may be the modality's own, relayed
                self.write(self.book.passed_on(name, pair, report), lambda: done(True))
                return
            self.gate.event(Code.COMMITMENT_UNASKED, titles, link=pair.link, transaction=report.transaction, instances=judged.unknown)
            done(True)
            return
        if judged.unknown:
            self.gate.event(Code.COMMITMENT_UNASKED, titles, link=pair.link, transaction=report.transaction, instances=judged.unknown)
        failed = sum(each.reason >= 0 for each in judged.news)
        code = Code.COMMITMENT_FAILED if failed else Code.COMMITMENT_REPORTED
        own = judged.transaction.pair

        def applied() -> None:
            self.gate.event(
                code, titles, link=pair.link, transaction=report.transaction, committed=len(judged.news) - failed, failed=failed,
                repeated=judged.repeated,
            )  # fmt: skip
            done(True)  # it is in the journal: what follows of it, and may fail, keeps no other report waiting
            self._release(where, [each.sop_instance for each in judged.news], report.transaction)

        def recorded(durable: bool) -> None:
            if durable:
                self.write(entries, applied)
            else:
                self.gate.event(Code.COMMITMENT_NOT_RECORDED, titles, link=pair.link, transaction=report.transaction)
                done(False)

        record(self.gate, own, report.transaction, judged.news, recorded)

    def _release(self, where: Where, uids: list[str], transaction: str = "") -> None:
        """Deal with the kept files of instances that have a result."""
        for uid in uids:
            instance = self.book.instances.get((*where, uid))
            if instance is None or not instance.stems or instance.step not in (Step.COMMITTED, Step.FAILED):
                continue
            if (where, uid) in self._releasing:
                continue
            self._releasing.add((where, uid))
            why = {"code": str(Code.COMMITMENT_FAILED), "reason": "not committed", "status": f"{instance.reason & 0xFFFF:04X}"}
            left = [len(instance.stems)]

            def done(uid: str = uid, left: list[int] = left) -> None:
                left[0] -= 1
                if not left[0]:
                    self._releasing.discard((where, uid))
                    self.write(self.book.released(where, uid), lambda: None)

            for stem in list(instance.stems):
                if instance.step is Step.COMMITTED:
                    self._forwarder.kept.committed(stem, where[1], transaction, done)
                else:
                    self._forwarder.kept.not_committed(stem, where[1], why, done)

    # --- time

    def tick(self, stopping: bool) -> None:
        """Look what is due; `stopping`: begin nothing more."""
        now = self._loop.now
        for association in (*self._asking.values(), *self.teller.telling.values()):
            association.tick(now)
        self.scribe.flush()
        if stopping:
            return
        if now >= self._look_at:
            self._look()
        if now >= self._overdue_at:
            self._overdue_at = now + OVERDUE_SECONDS
            self._overdue()
        self._ask()
        self.teller.look()

    def stop(self) -> None:
        """Begin nothing more."""
        for association in (*self._asking.values(), *self.teller.telling.values()):
            association.stop()

    def _overdue(self) -> None:
        """Transactions without a report are asked again; instances that were asked too often are given up."""
        limit = time.monotonic() - self._forwarder.hold.commitment_seconds
        for transaction in list(self.book.transactions.values()):
            if transaction.closed or transaction.since > limit:
                continue
            pair = transaction.pair
            where = (pair.link, pair.peer)
            late = [uid for uid in transaction.instances if (one := self.book.instances.get((*where, uid))) and one.step is Step.ASKED]
            lost = [uid for uid in late if self.book.instances[(*where, uid)].tries >= TRIES]
            self.gate.event(
                Code.COMMITMENT_LATE, f"{pair.calling}>{pair.called}", link=pair.link, transaction=transaction.uid, instances=len(late),
                given_up=len(lost),
            )  # fmt: skip
            entries = self.book.give_up(where, lost)
            self.write(entries + self.book.again(transaction.uid), lambda where=where, lost=lost: self._release(where, lost))  # type: ignore[misc]
        self.teller.give_up()

    def _ask(self) -> None:
        for where, waiting in list(self.book.waits.items()):
            if not waiting:
                self._since.pop(where, None)
                continue
            since = self._since.setdefault(where, self._loop.now)
            quiet = not self._forwarder.sends_to(where)
            if not quiet and len(waiting) < GROUP and self._loop.now - since < GROUP_SECONDS:
                continue
            route = self._forwarder.route(*where)
            if route is None or route[1].connect is None or self._pauses_of(where).until > self._loop.now:
                continue
            if self._refused.get(where, 0.0) > self._loop.now:
                continue
            open_ = self._asking.get(where)
            if open_ is not None:
                open_.next()  # it stays a little
                continue
            pair = self.book.instances[(*where, next(iter(waiting)))].pair
            asking = self._asking[where] = Asking(self, *route, pair)
            asking.begin()

    def _pauses_of(self, where: Where) -> Pauses:
        found = self._pauses.get(where)
        if found is None:
            found = self._pauses[where] = Pauses(self._forwarder.hold.retry_seconds, random.random)
        return found

    # --- the person

    def status(self) -> dict[str, Any]:
        """Return what waits."""
        return {
            "to_ask": sum(map(len, self.book.waits.values())),
            "asked": sum(not each.closed for each in self.book.transactions.values()),
            "to_tell": len(self.book.requests),
            "not_done_by": sorted("/".join(where) for where, until in self._refused.items() if until > self._loop.now),
        }

    def retry(self) -> None:
        """Try everything now."""
        for pauses in self._pauses.values():
            pauses.worked()
        self.teller.retry()
        self._refused.clear()


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"  # PS3.5 B.2
