"""The book of storage commitment: what was sent where, what the destination says of it, whom to tell. Sans-IO.

It changes only by *entries* (plain data that JSON can hold): a method looks and returns the entries that follow, `apply` takes one in.
The caller makes them durable before it lets anything be seen of them; the same entries, applied again after a crash, give the same book.

    instance   WAITS -> ASKED -> COMMITTED | FAILED      by the destination's own report, of a transaction in which it was asked
               ASKED -> WAITS                            no report in time: asked again in a new transaction; a late report still counts
    request    of the modality: ripe when what it sent before has left the queue; answered when each of its instances has a result

What is not in the book was not sent by this box, or so long ago that it is forgotten: it is reported as failed, 0112 (no such object
instance), never as committed. A report names instances that were not asked in its transaction: they are not believed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final, NamedTuple

from wardgate.dimse.commitment import Reference, Report
from wardgate.hold.memory import Pair

Entry = dict[str, Any]

MAX_INSTANCES: Final = 50_000  # remembered; the oldest with a result are forgotten first
MAX_TRANSACTIONS: Final = 4096  # of ours, remembered; the oldest are forgotten
MAX_REQUESTS: Final = 1024  # of modalities, not told yet
MAX_WANTED: Final = 200_000  # instances in them
MAX_TOLD: Final = 1024  # requests remembered after they were told, so that a repeated one is told again
GROUP: Final = 500  # instances of one transaction
COMMITTED: Final = -1
NO_SUCH_INSTANCE: Final = 0x0112  # PS3.4 J.3.3.1.1
PROCESSING_FAILURE: Final = 0x0110
CLASS_INSTANCE_CONFLICT: Final = 0x0119
DUPLICATE_TRANSACTION: Final = 0x0131


class Step(Enum):
    """Where an instance stands with its destination."""

    WAITS = "sent, to be asked"
    ASKED = "asked"
    COMMITTED = "committed"
    FAILED = "failed"


class Instance:
    """One instance at one destination. `stems`: its files that are kept until it is committed; `reason`: when it failed."""

    __slots__ = ("pair", "reason", "sop_class", "stems", "step", "tries")

    def __init__(self, pair: Pair, sop_class: str) -> None:
        self.pair = pair
        self.sop_class = sop_class
        self.step = Step.WAITS
        self.reason = COMMITTED
        self.stems: list[str] = []
        self.tries = 0


class Transaction:
    """One that the box asked for. `since`: the caller's clock when it was taken in; `closed`: its report was taken; `unsent`: it never
    left."""

    __slots__ = ("closed", "instances", "pair", "since", "uid", "unsent")

    def __init__(self, uid: str, pair: Pair, instances: list[str], since: float) -> None:
        self.uid = uid
        self.pair = pair
        self.instances = instances
        self.since = since
        self.closed = False
        self.unsent = False


class Request:
    """One that a modality asked for. `number`: what it sent before has a lower one; `results`: instance -> reason, as far as known."""

    __slots__ = ("heard", "name", "number", "pair", "references", "results", "since", "told", "transaction")

    def __init__(self, name: str, pair: Pair, transaction: str, references: dict[str, str], number: int, since: float) -> None:
        self.name = name
        self.pair = pair
        self.transaction = transaction
        self.references = references  # instance -> SOP class
        self.number = number
        self.since = since
        self.results: dict[str, int] = {}
        self.told = False
        self.heard = False

    @property
    def answered(self) -> bool:
        """Has every instance a result?"""
        return len(self.results) == len(self.references)

    def report(self) -> Report:
        """Return what is to be told."""
        results = self.results
        return Report(self.transaction, tuple(Reference(each, uid, results[uid]) for uid, each in self.references.items()))


class Judged(NamedTuple):
    """What a report of a destination is worth. `unknown`: its instances that were not asked in it; `transaction` None: not one of ours."""

    transaction: Transaction | None
    news: tuple[Reference, ...]
    unknown: int
    repeated: bool


Where = tuple[str, str]  # link, peer


def _again(uid: str, unsent: bool) -> Entry:
    return {"e": "again", "t": uid, "unsent": True} if unsent else {"e": "again", "t": uid}


def _not_held(_request: Request, _uid: str) -> bool:
    return False


class Book:
    """All of it. `clock()`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.instances: OrderedDict[tuple[str, str, str], Instance] = OrderedDict()  # link, peer, SOP Instance UID
        self.transactions: OrderedDict[str, Transaction] = OrderedDict()
        self.requests: OrderedDict[str, Request] = OrderedDict()
        self.waits: dict[Where, OrderedDict[str, None]] = {}  # instances to be asked
        self.kept: dict[str, tuple[str, str, str]] = {}  # stem -> whose file it is
        self._told: OrderedDict[str, Request] = OrderedDict()
        self._wanted = 0

    # --- what follows from what happened

    def sent(self, pair: Pair, sop_class: str, instance: str, stem: str, ask: bool) -> list[Entry]:
        """The destination took it. `stem`: its file, when it is kept until it is committed; `ask`: else the taking is all it will say."""
        return [{"e": "sent", "pair": list(pair), "class": sop_class, "uid": instance, "stem": stem, "ask": ask}]

    def room(self, references: int) -> bool:
        """Can one more request of so many instances be taken in?"""
        return len(self.requests) < MAX_REQUESTS and self._wanted + references <= MAX_WANTED

    def wanted(self, name: str, pair: Pair, report: Report, number: int) -> list[Entry]:
        """A modality asks. `name`: of the message, never used twice."""
        if name in self.requests or name in self._told:
            return []  # the same message, read again after a crash
        for known in (*self.requests.values(), *self._told.values()):
            if known.transaction == report.transaction and known.pair == pair:
                same = known.references == {each.sop_instance: each.sop_class for each in report.references}
                if same:
                    return [{"e": "untold", "name": known.name}] if known.told else []
                results = {each.sop_instance: DUPLICATE_TRANSACTION for each in report.references}
                return [self._request(name, pair, report, number), {"e": "results", "name": name, "results": results}]
        return [self._request(name, pair, report, number)]

    def _request(self, name: str, pair: Pair, report: Report, number: int) -> Entry:
        references = {each.sop_instance: each.sop_class for each in report.references}
        return {"e": "wanted", "name": name, "pair": list(pair), "t": report.transaction, "refs": references, "number": number}

    def passed_on(self, name: str, pair: Pair, report: Report) -> list[Entry]:
        """A report of the destination that is the modality's: it is told as it came."""
        if name in self.requests or name in self._told:
            return []
        results = {each.sop_instance: each.reason for each in report.references}
        return [self._request(name, pair, report, 0), {"e": "results", "name": name, "results": results}]

    def settle(self, ripe: Callable[[Request], bool], held: Callable[[Request, str], bool] = _not_held) -> list[Entry]:
        """Give results to the requests that are ripe, from what is known of each instance. `held`: the box itself commits it."""
        entries: list[Entry] = []
        for request in self.requests.values():
            if request.told or request.answered or not ripe(request):
                continue
            found: dict[str, int] = {}
            for uid, sop_class in request.references.items():
                if uid in request.results:
                    continue
                instance = self.instances.get((request.pair.link, request.pair.peer, uid))
                if held(request, uid):
                    found[uid] = COMMITTED
                elif instance is None:
                    found[uid] = NO_SUCH_INSTANCE
                elif instance.sop_class != sop_class:
                    found[uid] = CLASS_INSTANCE_CONFLICT
                elif instance.step is Step.COMMITTED:
                    found[uid] = COMMITTED
                elif instance.step is Step.FAILED:
                    found[uid] = instance.reason
            if found:
                entries.append({"e": "results", "name": request.name, "results": found})
        return entries

    def ask(self, where: Where, new_uid: Callable[[], str]) -> list[Entry]:
        """Return the transaction to ask for now: instances of one pair of AE titles, in the order in which they were sent."""
        waiting = self.waits.get(where)
        if not waiting:
            return []
        pair: Pair | None = None
        chosen: list[str] = []
        for uid in waiting:
            instance = self.instances[(*where, uid)]
            if pair is None:
                pair = instance.pair
            if instance.pair == pair:
                chosen.append(uid)
                if len(chosen) == GROUP:
                    break
        assert pair is not None
        return [{"e": "asked", "t": new_uid(), "pair": list(pair), "uids": chosen}]

    def report(self, where: Where, report: Report) -> tuple[list[Entry], Judged]:
        """The destination reports. Late, repeated and partial reports are all welcome; what was not asked is not believed."""
        transaction = self.transactions.get(report.transaction)
        if transaction is None or (transaction.pair.link, transaction.pair.peer) != where:
            return [], Judged(None, (), len(report.references), False)
        asked = set(transaction.instances)
        news: list[Reference] = []
        unknown = 0
        for each in report.references:
            instance = self.instances.get((*where, each.sop_instance))
            if each.sop_instance not in asked or (each.sop_class and instance is not None and each.sop_class != instance.sop_class):
                unknown += 1
            elif instance is not None and instance.step not in (Step.COMMITTED, Step.FAILED):
                news.append(Reference(instance.sop_class, each.sop_instance, each.reason))
        results = {each.sop_instance: each.reason for each in news}
        entries: list[Entry] = []
        if news or not transaction.closed:
            entries.append({"e": "report", "t": transaction.uid, "results": results})
        return entries, Judged(transaction, tuple(news), unknown, not news)

    def again(self, uid: str, unsent: bool = False) -> list[Entry]:
        """Nothing came of a transaction: its instances without a result are asked again in another one. `unsent`: it never left."""
        transaction = self.transactions.get(uid)
        if transaction is None or transaction.closed:
            return []
        return [_again(uid, unsent)]

    def give_up(self, where: Where, uids: Iterable[str], reason: int = PROCESSING_FAILURE) -> list[Entry]:
        """The destination never says a word of these."""
        found = [uid for uid in uids if self._open(where, uid)]
        return [{"e": "given-up", "where": list(where), "uids": found, "reason": reason}] if found else []

    def _open(self, where: Where, uid: str) -> bool:
        instance = self.instances.get((*where, uid))
        return instance is not None and instance.step in (Step.WAITS, Step.ASKED)

    def told(self, name: str, heard: bool = True) -> list[Entry]:
        """The modality took the report (`heard`), or will not be told any more."""
        request = self.requests.get(name)
        return [{"e": "told", "name": name, "heard": heard}] if request is not None else []

    def heard(self) -> list[Request]:
        """Return the requests whose reports modalities took, as far as they are remembered."""
        return [request for request in self._told.values() if request.heard]

    def released(self, where: Where, uid: str) -> list[Entry]:
        """Its kept files were dealt with."""
        return [{"e": "released", "where": list(where), "uid": uid}]

    # --- taking entries in

    def apply(self, entry: Entry) -> None:
        """Take one entry in. What it names and is forgotten is passed over. Raises `KeyError`, `TypeError`, `ValueError` for no entry."""
        _APPLY[entry["e"]](self, entry)

    def _sent(self, entry: Entry) -> None:
        pair = Pair(*entry["pair"])
        key = (pair.link, pair.peer, entry["uid"])
        before = self.instances.pop(key, None)
        instance = self.instances[key] = Instance(pair, entry["class"])
        if before is not None:  # sent once more: what was said of it before does not count any more
            instance.stems = before.stems
            for transaction in self.transactions.values():
                if transaction.pair.link == pair.link and transaction.pair.peer == pair.peer and key[2] in transaction.instances:
                    transaction.instances.remove(key[2])
        if entry["stem"] and entry["stem"] not in instance.stems:
            instance.stems.append(entry["stem"])
            self.kept[entry["stem"]] = key
        waits = self.waits.setdefault(key[:2], OrderedDict())
        if entry["ask"]:
            waits[key[2]] = None
        else:
            waits.pop(key[2], None)
            instance.step = Step.COMMITTED
        if len(self.instances) > MAX_INSTANCES:
            self._forget()

    def _forget(self) -> None:
        """Forget the oldest instance that has a result and no file; if there is none, the oldest one."""
        oldest = next((key for key, each in self.instances.items() if each.step in (Step.COMMITTED, Step.FAILED) and not each.stems), None)
        key = oldest or next(iter(self.instances))
        for stem in self.instances.pop(key).stems:
            self.kept.pop(stem, None)
        self.waits.get(key[:2], OrderedDict()).pop(key[2], None)

    def _wanted_entry(self, entry: Entry) -> None:
        request = Request(entry["name"], Pair(*entry["pair"]), entry["t"], dict(entry["refs"]), int(entry["number"]), self._clock())
        if request.name not in self.requests and request.name not in self._told:
            self.requests[request.name] = request
            self._wanted += len(request.references)

    def _results(self, entry: Entry) -> None:
        request = self.requests.get(entry["name"])
        if request is not None:
            request.results.update((uid, int(reason)) for uid, reason in entry["results"].items() if uid in request.references)

    def _asked(self, entry: Entry) -> None:
        pair = Pair(*entry["pair"])
        where = (pair.link, pair.peer)
        self.transactions[entry["t"]] = Transaction(entry["t"], pair, list(entry["uids"]), self._clock())
        for uid in entry["uids"]:
            self.waits.get(where, OrderedDict()).pop(uid, None)
            instance = self.instances.get((*where, uid))
            if instance is not None and instance.step is Step.WAITS:
                instance.step = Step.ASKED
                instance.tries += 1
        while len(self.transactions) > MAX_TRANSACTIONS:
            self.transactions.popitem(last=False)

    def _report(self, entry: Entry) -> None:
        transaction = self.transactions.get(entry["t"])
        if transaction is None:
            return
        late, transaction.closed = transaction.closed, True
        where = (transaction.pair.link, transaction.pair.peer)
        for uid, reason in entry["results"].items():
            self._result(where, uid, int(reason))
        if not late:  # what a late one does not name is asked in another transaction by now
            self._back_to_waiting(transaction)  # a partial report: what it does not name

    def _again(self, entry: Entry) -> None:
        transaction = self.transactions.get(entry["t"])
        if transaction is not None and not transaction.closed:
            transaction.closed = True
            transaction.unsent = bool(entry.get("unsent"))
            self._back_to_waiting(transaction)

    def _back_to_waiting(self, transaction: Transaction) -> None:
        where = (transaction.pair.link, transaction.pair.peer)
        for uid in transaction.instances:
            instance = self.instances.get((*where, uid))
            if instance is not None and instance.step is Step.ASKED:
                instance.step = Step.WAITS
                instance.tries -= transaction.unsent
                self.waits.setdefault(where, OrderedDict())[uid] = None

    def _given_up(self, entry: Entry) -> None:
        link, peer = entry["where"]
        for uid in entry["uids"]:
            self._result((link, peer), uid, int(entry["reason"]))

    def _result(self, where: Where, uid: str, reason: int) -> None:
        instance = self.instances.get((*where, uid))
        if instance is None:
            return
        instance.step = Step.COMMITTED if reason < 0 else Step.FAILED
        instance.reason = reason
        self.waits.get(where, OrderedDict()).pop(uid, None)

    def _told_entry(self, entry: Entry) -> None:
        request = self.requests.pop(entry["name"], None)
        if request is None:
            return
        self._wanted -= len(request.references)
        request.told = True
        request.heard = bool(entry.get("heard", True))
        self._told[request.name] = request
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    def _untold(self, entry: Entry) -> None:
        request = self._told.pop(entry["name"], None)
        if request is not None:
            request.told = False
            request.since = self._clock()
            self.requests[request.name] = request
            self._wanted += len(request.references)

    def _released(self, entry: Entry) -> None:
        link, peer = entry["where"]
        instance = self.instances.get((link, peer, entry["uid"]))
        if instance is not None:
            for stem in instance.stems:
                self.kept.pop(stem, None)
            instance.stems = []

    # --- the whole

    def entries(self) -> Iterator[Entry]:
        """Yield entries that make this book anew: what a shortened journal holds."""
        for (link, peer, uid), instance in self.instances.items():
            for stem in instance.stems or [""]:
                yield {"e": "sent", "pair": list(instance.pair), "class": instance.sop_class, "uid": uid, "stem": stem, "ask": True}
            if instance.step in (Step.COMMITTED, Step.FAILED):
                yield {"e": "given-up", "where": [link, peer], "uids": [uid], "reason": instance.reason}
        for transaction in self.transactions.values():
            yield {"e": "asked", "t": transaction.uid, "pair": list(transaction.pair), "uids": transaction.instances}
            if transaction.closed:
                yield _again(transaction.uid, transaction.unsent)
        for request in (*self._told.values(), *self.requests.values()):
            report = Report(request.transaction, tuple(Reference(each, uid) for uid, each in request.references.items()))
            yield self._request(request.name, request.pair, report, request.number)
            if request.results:
                yield {"e": "results", "name": request.name, "results": request.results}
            if request.told:
                yield {"e": "told", "name": request.name, "heard": request.heard}


_APPLY: Final[dict[str, Callable[[Book, Entry], None]]] = {
    "sent": Book._sent,
    "wanted": Book._wanted_entry,
    "results": Book._results,
    "asked": Book._asked,
    "report": Book._report,
    "again": Book._again,
    "given-up": Book._given_up,
    "told": Book._told_entry,
    "untold": Book._untold,
    "released": Book._released,
}
