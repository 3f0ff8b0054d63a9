"""Writes the records of answers that were made durable by an earlier life of the forwarder, which ended before their records were.

Such a record may stand in the log twice: once by the life that ended, once here. It says the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.custody.record import Flow, Outcome, Scope
from wardgate.custody.record import Leg as LegScope
from wardgate.custody.wire import Status
from wardgate.dimse.command import CommandError, parse
from wardgate.hold.files import is_passing
from wardgate.hold.memory import Pair
from wardgate.hold.seal import Damaged
from wardgate.hold.wrap import WrapError
from wardgate.policy.model import Direction
from wardgate.relay.hasher import Digest
from wardgate.relay.ledger import Ledger
from wardgate.relay.stores import Store

if TYPE_CHECKING:
    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.store import Entry

BATCH = 32  # records a round: within the space that an open entry reserves


class Settling:
    """One round: an open entry, a record for each answer, a close entry."""

    def __init__(self, forwarder: Forwarder, entries: dict[str, Entry]) -> None:
        self._forwarder = forwarder
        every = list(entries.values())
        self._entries, self._rest = every[:BATCH], every[BATCH:]
        self._done: list[tuple[Entry, Pair, str, str]] = []
        self._failed: list[Entry] = []
        self._asked: set[str] = set()  # keys that the token was asked for
        self._left = len(self._entries)
        box = forwarder.config.box.name
        scope = Scope(
            box, "hold", Direction.TO_HOSPITAL.value, os.urandom(16), LegScope("", "hold"), LegScope("", "answered before a restart")
        )
        self._ledger = Ledger(forwarder.gate, scope)

    def begin(self) -> None:
        """Start the round; `forwarder.settled` is called at its end."""
        for entry in self._rest:
            self._forwarder.unrecorded(entry)
        self._ledger.begin(self._opened)

    def _opened(self, status: Status) -> None:
        if status is not Status.OK:
            self._forwarder.settled([], self._entries)
            return
        for entry in self._entries:
            self._record(entry)

    def _record(self, entry: Entry) -> None:
        try:
            store, pair = self._read(entry)
        except FileNotFoundError:  # nothing is left of it, and nothing may wait for it
            self._forwarder.recorded(entry)
            self._one_less()
            return
        except WrapError:  # the token is out: later
            self._failed.append(entry)
            self._one_less()
            return
        except (Damaged, CommandError, ValueError, OSError) as error:
            self._forwarder.gate.event(Code.HOLD_NOT_OPENED if is_passing(error) else Code.HOLD_DAMAGED, file=entry.name, detail=error)
            if is_passing(error):
                self._failed.append(entry)
            else:  # it was delivered: what is left of it is not needed
                self._forwarder.remove(entry)
            self._one_less()
            return

        def done(durable: bool) -> None:
            if durable:
                self._done.append((entry, pair, store.sop_class, store.instance))
            else:
                self._failed.append(entry)
            self._one_less()

        self._ledger.store(store, entry.status, Outcome.STATUS, Flow.ACCEPTOR, done)

    def _read(self, entry: Entry) -> tuple[Store, Pair]:
        reader = self._forwarder.store.read(entry)
        try:
            header = reader.header
            if not self._forwarder.store.wrapper.ready(header.key_name):
                self._fetch(header.key_name)
                raise WrapError("the token is asked for its key")
            store = Store(parse(bytes.fromhex(header.command)), 0, header.transfer_syntax, Digest(self._forwarder.gate.buffers))
            for data in reader.chunks():
                store.digest.update(memoryview(data))
                store.length += len(data)
            store.whole = True
        finally:
            reader.close()
        return store, Pair(header.link, header.peer, header.calling, header.called)

    def _fetch(self, key_name: str) -> None:
        wrapper = self._forwarder.store.wrapper

        def fetched(_nothing: None, error: Exception | None) -> None:
            if error is not None:
                self._forwarder.gate.event(getattr(error, "code", Code.HOLD_KEY), detail=error)

        if key_name not in self._asked:
            self._asked.add(key_name)
            self._forwarder.gate.pool.submit(lambda: wrapper.fetch(key_name), fetched)

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._ledger.end("settled")
            self._forwarder.settled(self._done, self._failed)
