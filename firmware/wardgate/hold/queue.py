"""The index of the queue in memory: lanes in order, destinations with their pauses. No files, no sockets.

A lane is what must stay in order: one link, one peer, one pair of AE titles. Lanes are sent side by side.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import attrgetter

from wardgate.hold.memory import Pair
from wardgate.hold.pause import Pauses
from wardgate.hold.store import Entry

_NUMBER = attrgetter("number")


class Item:
    """One instance that waits."""

    __slots__ = ("abstract_syntax", "attempts", "entry", "number", "transfer_syntax")

    def __init__(self, entry: Entry, abstract_syntax: str, transfer_syntax: str) -> None:
        self.entry = entry
        self.number = entry.number
        self.abstract_syntax = abstract_syntax
        self.transfer_syntax = transfer_syntax
        self.attempts = 0  # sends that the destination did not take, since this process began


class Lane:
    """What is sent one after the other, lowest number first."""

    __slots__ = ("_first", "_items", "busy", "destination", "pair")

    def __init__(self, pair: Pair, destination: Destination) -> None:
        self.pair = pair
        self.destination = destination
        self.busy = False
        self._items: list[Item] = []
        self._first = 0  # what is before it has left

    def __len__(self) -> int:
        return len(self._items) - self._first

    def add(self, item: Item) -> None:
        """Put an item at its place."""
        if not self._items or item.number > self._items[-1].number:
            self._items.append(item)
        else:
            insort(self._items, item, lo=self._first, key=_NUMBER)

    def head(self) -> Item | None:
        """Return what is to be sent next."""
        return self._items[self._first] if len(self) else None

    def ahead(self, count: int) -> list[Item]:
        """Return up to `count` items in order."""
        return self._items[self._first : self._first + count]

    def remove(self, item: Item) -> None:
        """Take an item out; mostly the head."""
        if self.head() is item:
            self._first += 1
            if self._first > 1024 and self._first * 2 > len(self._items):
                del self._items[: self._first]
                self._first = 0
        elif item in self._items:
            self._items.remove(item)


class Destination:
    """One peer of one link."""

    def __init__(self, link: str, peer: str, pauses: Pauses) -> None:
        self.link = link
        self.peer = peer
        self.pauses = pauses
        self.running = 0
        self.last_code = ""
        self.delivered = 0


class Queue:
    """All lanes. `make_pauses()` gives the pauses of a new destination."""

    def __init__(self, make_pauses: Callable[[], Pauses]) -> None:
        self._make_pauses = make_pauses
        self.lanes: dict[Pair, Lane] = {}
        self.destinations: dict[tuple[str, str], Destination] = {}
        self._known: dict[str, Item] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, stem: str) -> bool:
        """Is this file in the index?"""
        return stem in self._known

    def add(self, entry: Entry, pair: Pair, abstract_syntax: str, transfer_syntax: str) -> None:
        """Take a file into the index."""
        if entry.stem in self._known:
            return
        lane = self.lanes.get(pair)
        if lane is None:
            lane = self.lanes[pair] = Lane(pair, self._destination(pair))
        item = Item(entry, abstract_syntax, transfer_syntax)
        self._known[entry.stem] = item
        lane.add(item)

    def remove(self, lane: Lane, item: Item) -> None:
        """A file left the queue."""
        self._known.pop(item.entry.stem, None)
        lane.remove(item)
        self.forget(lane)

    def forget(self, lane: Lane) -> None:
        """Drop a lane that is empty and that nobody sends."""
        if not len(lane) and not lane.busy and self.lanes.get(lane.pair) is lane:
            del self.lanes[lane.pair]

    def ready(self, now: float, bound: int) -> list[Lane]:
        """Return the lanes to begin now, at most `bound` at once to a destination, oldest instance first."""
        waiting = [lane for lane in self.lanes.values() if len(lane) and not lane.busy and lane.destination.pauses.until <= now]
        waiting.sort(key=lambda lane: lane.ahead(1)[0].number)
        chosen: list[Lane] = []
        taken: dict[Destination, int] = {}
        for lane in waiting:
            destination = lane.destination
            # After a failure one association finds out whether the destination is back.
            most = 1 if destination.pauses.failures else bound
            if destination.running + taken.get(destination, 0) < most:
                taken[destination] = taken.get(destination, 0) + 1
                chosen.append(lane)
        return chosen

    def _destination(self, pair: Pair) -> Destination:
        key = (pair.link, pair.peer)
        found = self.destinations.get(key)
        if found is None:
            found = self.destinations[key] = Destination(*key, self._make_pauses())
        return found
