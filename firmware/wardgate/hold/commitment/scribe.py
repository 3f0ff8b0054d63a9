"""Keeps the book of storage commitment and its journal together: entries are taken in at once, and seen outside when they are durable."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.hold.commitment.book import Book, Entry
from wardgate.hold.commitment.inbox import FOLDER
from wardgate.hold.commitment.journal import Journal, frames
from wardgate.hold.syncer import Syncer

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.hold.store import Store
    from wardgate.relay.gate import Gate

RETRY_SECONDS: Final = 1.0


class Scribe:
    """One a forwarder. Every call is on the loop's thread; what was given meanwhile is made durable together."""

    def __init__(self, gate: Gate, store: Store) -> None:
        self._gate = gate
        self.book = Book(time.monotonic)
        self._journal = Journal(os.path.join(store.directory, FOLDER, "journal"), store.files)
        self._writer = Syncer(gate.loop.call, threads=1)
        self._pending: list[tuple[list[Entry], Callable[[], None]]] = []
        self._writing = False
        self._retry_at = 0.0
        self._broken = False

    def open(self) -> None:
        """Read the journal and write it anew. Raises `OSError`."""
        found = self._journal.open()
        if found.damaged:
            self._gate.event(Code.COMMITMENT_JOURNAL, detail="the journal is damaged; what can be read counts", bytes=found.good)
            self._journal.set_aside()
        for entry in found.entries:
            try:
                self.book.apply(entry)
            except (KeyError, TypeError, ValueError) as error:
                self._gate.event(Code.COMMITMENT_JOURNAL, detail=f"an entry that this version does not know: {type(error).__name__}")
        self._journal.shorten(frames(self.book.entries()))

    def write(self, entries: list[Entry], then: Callable[[], None]) -> None:
        """Take entries in and make them durable; `then` is what may be seen of them."""
        for entry in entries:
            self.book.apply(entry)
        self._pending.append((entries, then))
        self.flush()

    def flush(self) -> None:
        """Begin the next write, unless one is under way."""
        if self._writing or not self._pending or self._gate.loop.now < self._retry_at:
            return
        batch, self._pending = self._pending, []
        self._writing = True
        whole = self._journal.long
        data = frames(self.book.entries()) if whole else frames(entry for entries, _then in batch for entry in entries)

        def work() -> None:
            if whole:
                self._journal.shorten(data)
            else:
                self._journal.append(data)

        def done(error: Exception | None) -> None:
            self._writing = False
            if error is not None:
                self._pending = batch + self._pending
                self._retry_at = self._gate.loop.now + RETRY_SECONDS
                if not self._broken:
                    self._broken = True
                    self._gate.event(Code.COMMITMENT_JOURNAL, detail=error)
                return
            self._broken = False
            for _entries, then in batch:
                self._gate.loop.soon(then)  # each by itself: what goes wrong in one takes none of the others with it
            self.flush()

        self._writer.submit(work, done, sync=False)

    @property
    def busy(self) -> bool:
        """Is something on its way to the disk?"""
        return bool(self._writing or self._pending)
