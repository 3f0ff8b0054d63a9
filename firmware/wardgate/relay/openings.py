"""How many associations are being opened with one called side at once. The others wait in order, before their connection and with nothing
of TLS in memory yet.

A modality, or many behind one link, may ask for hundreds of associations in one moment, and each that is opened costs tens of kilobytes
of OpenSSL's. Opened a few at a time, and behind what runs already, the first may have ended when the last begin. Those that wait begin
together, when half of the places are free: then their handshakes share turns of the loop, and their open entries a sync.

An opening that takes `SLOW_SECONDS` does not count any more: where one node of three hangs, its callers do not hold up the others'.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wardgate.relay.loop import Loop

SLOW_SECONDS: Final = 1.0

Called = tuple[str, str]  # link, address


class Standing(Enum):
    """Of one association with its called side."""

    WAITING = "waiting"
    OPENING = "opening"
    LEFT = "left"  # answered, refused or broken off; or it takes too long to count


class Place:
    """The place of one association. It is left as soon as the opening is over, however that was."""

    __slots__ = ("_begin", "_door", "begun_at", "standing")

    def __init__(self, door: Door, begin: Callable[[], None]) -> None:
        self._door = door
        self._begin = begin
        self.begun_at = 0.0  # monotonic seconds
        self.standing = Standing.WAITING

    def ask(self) -> None:
        """Begin when it is our turn, perhaps at once."""
        self._door.ask(self)

    def begin(self, now: float) -> None:
        """It is our turn."""
        self.begun_at = now
        self.standing = Standing.OPENING
        self._begin()

    def leave(self) -> None:
        """Make room for the next. More than once does no harm."""
        if self.standing is not Standing.LEFT:
            self.standing = Standing.LEFT
            self._door.left(self)


class Door:
    """Who is being opened with one called side, and who waits; both in the order in which they came."""

    __slots__ = ("_all", "_called", "_opening", "_scheduled", "waiting")

    def __init__(self, of: Openings, called: Called) -> None:
        self._all = of
        self._called = called
        self._opening: dict[Place, None] = {}
        self.waiting: dict[Place, None] = {}
        self._scheduled = False

    def ask(self, place: Place) -> None:
        """Begin `place` at once where there is room, else when those before it have begun."""
        if self.waiting or len(self._opening) >= self._all.bound:
            self.waiting[place] = None
        else:
            self._opening[place] = None
            place.begin(self._all.loop.now)

    def left(self, place: Place) -> None:
        """`place` is not being opened any more, or does not wait any more."""
        self._opening.pop(place, None)
        self.waiting.pop(place, None)
        self._look()

    def tick(self) -> None:
        """Who takes long does not count any more."""
        slow = self._all.loop.now - SLOW_SECONDS
        for place in [place for place in self._opening if place.begun_at <= slow]:
            place.leave()

    def _look(self) -> None:
        if self.waiting:
            if not self._scheduled and len(self._opening) <= self._all.bound // 2:
                self._scheduled = True
                self._all.loop.when_idle(self._next)  # what runs goes first: it ends, and its memory is free
        elif not self._opening:
            self._all.close(self._called)

    def _next(self) -> None:
        self._scheduled = False
        while self.waiting and len(self._opening) < self._all.bound:
            place = next(iter(self.waiting))
            del self.waiting[place]
            self._opening[place] = None
            place.begin(self._all.loop.now)


class Openings:
    """The doors of a worker, one for each called side. Every call is on the loop's thread."""

    __slots__ = ("_doors", "bound", "loop")

    def __init__(self, loop: Loop, bound: int) -> None:
        """`bound`: openings at once with each called side."""
        self.loop = loop
        self.bound = bound
        self._doors: dict[Called, Door] = {}  # of those with whom something is being opened
        loop.each_tick(self._tick)

    @property
    def waiting(self) -> int:
        """Associations whose turn has not come."""
        return sum(len(door.waiting) for door in self._doors.values())

    def place(self, called: Called, begin: Callable[[], None]) -> Place:
        """Return the place of an association with `called`, which has to ask and to leave. `begin` is called when it is its turn."""
        door = self._doors.get(called)
        if door is None:
            door = self._doors[called] = Door(self, called)
        return Place(door, begin)

    def close(self, called: Called) -> None:
        """Nobody is at this door any more."""
        self._doors.pop(called, None)

    def _tick(self) -> None:
        for door in list(self._doors.values()):
            door.tick()
