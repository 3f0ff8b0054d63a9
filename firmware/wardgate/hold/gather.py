"""A data set on its way from the loop to the disk: gathered in pots, each hashed and sealed in one go, the last one made durable with them.

One at a time works for an instance, on its pots in their order: a thread, of which the loop hears nothing but the end, or that it may
read on; the loop itself where several instances come at once, for then no core would be idle.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from wardgate.hold.pots import POT_BYTES, Pot, Pots

if TYPE_CHECKING:
    from wardgate.hold.body import Body
    from wardgate.hold.store import Entry, Store
    from wardgate.hold.syncer import Done, Work

DEEP: Final = 3  # pots that may wait; with more nothing is read until they are done

Ended = Callable[["Entry | None", "Exception | None"], None]


class Beside:
    """What works beside the loop. `run(work, done)` gives work to a thread and then calls `done(error)` on the loop, `call` brings
    something back; `inline`: pots are worked off on the loop."""

    def __init__(self, run: Callable[[Work, Done | None], None], call: Callable[[Callable[[], None]], None], inline: bool) -> None:
        self.run = run
        self.call = call
        self.inline = inline
        self.coming = 0  # data sets that come: with several the cores have enough to do, and a handover costs more than it saves


class _Then(Enum):
    """What follows a pot."""

    MORE = 0
    END = 1
    DROP = 2  # the instance is not wanted any more; what still comes is only hashed


_Job = tuple[Pot | None, int, _Then]


class Gather:
    """One data set. `update` is its sink. On the loop `full` is called when a pot was full, `landed` when it is `behind` no more."""

    __slots__ = ("_beside", "_body", "_ended", "_entry", "_error", "_full", "_have", "_jobs", "_landed", "_lock", "_pot", "_pots",
                 "_running", "_sha", "_store", "_waited", "_whole")  # fmt: skip

    def __init__(self, store: Store, pots: Pots, beside: Beside, full: Callable[[], None], landed: Callable[[], None]) -> None:
        self._store = store
        self._pots = pots
        self._beside = beside
        self._full = full
        self._landed = landed
        self._body: Body | None = None
        self._sha = hashlib.sha256()
        self._pot: Pot | None = pots.first()
        self._have = 0
        self._whole = 0  # bytes of the pots that were full
        self._ended: Ended | None = None
        self._entry: Entry | None = None  # made durable by `_keep`
        self._error: Exception | None = None  # why there is no body any more
        self._lock = threading.Lock()  # over the next three
        self._jobs: deque[_Job] = deque()
        self._running = False  # a thread is at it
        self._waited = False  # the loop wants to be told
        beside.coming += 1

    def into(self, body: Body) -> None:
        """What comes goes into `body`; without one it is only hashed. Before the first byte."""
        self._body = body

    @property
    def received(self) -> int:
        """Bytes of the data set so far."""
        return self._whole + self._have

    def behind(self) -> bool:
        """Do the threads or the disk take longer than the bytes? If so, `landed` is called when they have caught up."""
        with self._lock:
            if not self._running:
                return self._body is not None and self._body.behind
            self._waited = len(self._jobs) >= DEEP
            return self._waited

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        assert self._pot is not None
        end = self._have + len(data)
        if end < POT_BYTES:
            self._pot[self._have : end] = data
            self._have = end
            return
        at, size = 0, len(data)
        while at < size:
            piece = min(size - at, POT_BYTES - self._have)
            self._pot[self._have : self._have + piece] = data[at : at + piece]
            self._have += piece
            at += piece
            if self._have == POT_BYTES:
                self._whole += POT_BYTES
                self._have = 0
                if not self._running and (self._beside.inline or self._beside.coming > 1):
                    self._work_off(self._pot, POT_BYTES)
                else:
                    self._give(self._pot, POT_BYTES, _Then.MORE)
                    self._pot = self._pots.another()
                self._full()

    def drop(self) -> None:
        """The instance is not wanted any more: what was written of it goes."""
        with self._lock:
            if self._running:
                self._jobs.append((None, 0, _Then.DROP))
                return
        if self._body is not None:
            body, self._body = self._body, None
            self._beside.run(lambda: self._store.drop(body), None)

    def cut(self) -> None:
        """Nothing more comes, and it is not wanted any more."""
        pot, self._pot = self._pot, None
        if pot is not None:
            self._pots.give(pot)
        self._beside.coming -= 1
        self.drop()

    def end(self, ended: Ended, record: Callable[[], bytes] | None = None) -> None:
        """The data set is whole. `ended(entry, error)` comes on the loop when it is durable; without `entry` nothing is left of it.

        `record` gives the text that the instance is to carry; it is asked, here, where that can be.
        """
        self._ended = ended
        self._beside.coming -= 1
        pot, self._pot = self._pot, None
        assert pot is not None
        if not self._whole and self._body is not None and self._body.takes(self._have):
            self._end_here(pot, record)
        else:
            self._give(pot, self._have, _Then.END)

    def _end_here(self, pot: Pot, record: Callable[[], bytes] | None) -> None:
        """It lies in one pot: hash and seal it on the loop, which has its bytes in the cache; a thread waits for the disk."""
        self._work_off(pot, self._have, record, last=True)
        self._pots.give(pot)
        if self._body is not None:
            try:
                self._store.finish(self._body, self._sha.hexdigest())
            except Exception as error:
                self._error = error
        self._beside.run(self._keep, self._kept)

    def _keep(self) -> None:
        """In a thread: make durable what the loop has sealed, or take back what failed."""
        if self._error is None:
            assert self._body is not None
            try:
                self._entry = self._store.keep(self._body)
            except Exception as error:
                self._error = error
        if self._error is not None and self._body is not None:
            self._lose(self._error)

    def _kept(self, error: Exception | None) -> None:
        assert self._ended is not None
        self._ended(self._entry, self._error or error)

    def hexdigest(self) -> str:
        """Return SHA-256 of the data set, hexadecimal; when it has ended."""
        return self._sha.hexdigest()

    def _give(self, pot: Pot | None, size: int, then: _Then) -> None:
        with self._lock:
            self._jobs.append((pot, size, then))
            running, self._running = self._running, True
        if not running:
            self._beside.run(self._work, None)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    waited, self._waited = self._waited, False
                    break
                pot, size, then = self._jobs.popleft()
            if pot is not None:
                self._work_off(pot, size)
                self._pots.give(pot)
            if then is not _Then.MORE:
                self._finish(then)
        if waited:
            self._beside.call(self._landed)

    def _work_off(self, pot: Pot, size: int, record: Callable[[], bytes] | None = None, last: bool = False) -> None:
        """Hash and seal. Here or on the loop, while no thread is at it."""
        data = pot[:size]
        self._sha.update(data)
        if self._body is not None:
            try:
                if record is not None:
                    self._body.carry(record())
                self._body.write(data, last)
            except Exception as error:
                self._lose(error)

    def _finish(self, then: _Then) -> None:
        entry = None
        if self._body is not None:
            if then is _Then.DROP:
                self._lose(None)
            else:
                try:
                    self._store.finish(self._body, self._sha.hexdigest())
                    entry = self._store.keep(self._body)
                except Exception as error:
                    self._lose(error)
        ended, why = self._ended, self._error
        if ended is not None and then is _Then.END:
            self._beside.call(lambda: ended(entry, why))

    def _lose(self, error: Exception | None) -> None:
        assert self._body is not None
        body, self._body, self._error = self._body, None, error
        self._store.drop(body)
