"""Instances that the destination has taken and whose record is durable: kept until it has committed them, or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wardgate.codes import Code
from wardgate.hold.originals import COPIES, COPY
from wardgate.hold.store import Entry, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.holding import Claim
    from wardgate.hold.memory import Pair


class Kept:
    """Those of one forwarder. Every call is on the loop's thread."""

    def __init__(self, of: Forwarder) -> None:
        self._of = of
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, stem: str) -> bool:
        return stem in self._entries

    def delivered(self, entry: Entry, pair: Pair, sop_class: str, instance: str) -> None:
        """Its answer and its record are durable: keep it until it is committed, or remove it."""
        of = self._of

        def known(original: bool) -> None:
            of.recorded(entry)
            of.desk.delivered(
                pair, sop_class, instance, entry.stem, lambda: self._release(entry.stem), lambda: self.keep(entry), original
            )  # fmt: skip

        self._entries[entry.stem] = entry
        route = of.route(pair.link, pair.peer)
        if route is not None and of.originals.governs(route[0]):
            of.originals.delivered(entry, *route, known)
        else:
            known(False)

    def keep(self, entry: Entry) -> None:
        """It waits for its commitment, as the journal of commitment has it."""
        of = self._of
        if entry.state is not State.AWAITING:
            try:
                entry = of.store.await_commitment(entry)
            except OSError as error:  # the journal knows it
                of.log.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)
            of.sync_soon()
        self._entries[entry.stem] = entry

    def _release(self, stem: str) -> None:
        entry = self._entries.pop(stem, None)
        if entry is not None:
            self._of.remove(entry)

    def committed(self, stem: str, peer: str, transaction: str, done: Callable[[], None]) -> None:
        """The destination has committed an instance that was kept: remove it, or keep what may stay of an original."""

        def settled(entry: Entry, now: Claim | None) -> None:
            if now is not None and now.state in COPIES:
                self._of.set_aside(entry, {"code": str(Code.ORIGINAL_TRANSFERRED), "reason": COPY, "status": now.state.name})
            else:
                self._of.remove(entry)

        self._resolve(stem, True, peer, transaction, settled, done)

    def not_committed(self, stem: str, peer: str, why: dict[str, Any], done: Callable[[], None]) -> None:
        """It has not, or never said a word: put it into quarantine."""

        def settled(entry: Entry, _now: Claim | None) -> None:
            self._of.log.event(Code.HOLD_QUARANTINED, file=entry.name, **{key: word for key, word in why.items() if key != "code"})
            self._of.set_aside(entry, why)

        self._resolve(stem, False, peer, "", settled, done)

    def _resolve(
        self,
        stem: str,
        committed: bool,
        peer: str,
        transaction: str,
        settled: Callable[[Entry, Claim | None], None],
        done: Callable[[], None],
    ) -> None:
        entry = self._entries.get(stem)
        if entry is None:
            done()
            return
        kept = entry

        def resolved(now: Claim | None) -> None:
            self._entries.pop(stem, None)
            settled(kept, now)
            done()

        self._of.originals.resolved(kept, committed, peer, transaction, resolved)
