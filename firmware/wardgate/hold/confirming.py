"""Instances that carry the text of their record and of which it is not known that the custody log has it: they are not in the queue yet.

A worker tells of an instance when the log has its record. What is found otherwise (at a start, after a crash) is asked of the custody
writer, again and again until it is there. Nothing is forwarded, and so nothing committed, before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.custody.wire import Op, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.memory import Pair
    from wardgate.hold.store import Entry
    from wardgate.hold.unlogged import Carried

AT_ONCE: Final = 256  # questions under way
WORD: Final = "record"  # of an instance's notes: what was found
MISSING: Final = "missing"


class Unsure(NamedTuple):
    """One instance, and what the log is asked for."""

    entry: Entry
    pair: Pair
    syntaxes: tuple[str, str]
    association: bytes
    seq: int


class Confirming:
    """Asks for one forwarder."""

    def __init__(self, of: Forwarder) -> None:
        self._of = of
        self._waiting: dict[str, Unsure] = {}
        self._asked: set[str] = set()
        self.unread: set[str] = set()  # segments with an instance whose head could not be read: what it carries is not known

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, stem: str) -> bool:
        return stem in self._waiting

    @property
    def stems(self) -> set[str]:
        """Their names."""
        return set(self._waiting)

    def waiting_for(self, where: tuple[str, str]) -> Iterator[int]:
        """Yield the numbers of those for a destination."""
        return (unsure.entry.number for unsure in self._waiting.values() if (unsure.pair.link, unsure.pair.peer) == where)

    def before(self, pair: Pair, number: int) -> bool:
        """Does one of that lane with a lower number wait? What is behind it waits too: they are sent in order."""
        return any(unsure.entry.number < number and unsure.pair == pair for unsure in self._waiting.values())

    def wait(self, entry: Entry, pair: Pair, syntaxes: tuple[str, str], carried: Carried) -> None:
        """Keep an instance out of the queue until the log has the record that it carries."""
        self._waiting[entry.stem] = Unsure(entry, pair, syntaxes, carried.association, carried.seq)

    def logged(self, stem: str) -> None:
        """A worker says that the log has it."""
        self._waiting.pop(stem, None)

    def ask(self) -> None:
        """Ask the writer for those that it was not asked for."""
        if not self._of.gate.custodian.connected:
            return
        for stem, unsure in self._waiting.items():
            if len(self._asked) >= AT_ONCE:
                return
            if stem not in self._asked:
                self._asked.add(stem)
                self._ask(stem, unsure)

    def _ask(self, stem: str, unsure: Unsure) -> None:
        def answered(status: Status, _index: int) -> None:
            self._asked.discard(stem)
            if status in (Status.OK, Status.REFUSED) and self._waiting.pop(stem, None) is not None:
                self._known(unsure, status is Status.OK)

        self._of.gate.custodian.submit(Op.HAS, unsure.association, unsure.seq, b"", answered)

    def _known(self, unsure: Unsure, logged: bool) -> None:
        of, entry = self._of, unsure.entry
        if logged:
            of.queue.add(entry, unsure.pair, *unsure.syntaxes)
            of.loop.soon(of.start_lanes)
            return
        of.log.event(Code.HOLD_NO_RECORD, link=unsure.pair.link, peer_name=unsure.pair.peer, file=entry.name)
        try:
            of.store.note(entry, **{WORD: MISSING})
        except OSError as error:  # asked again at the next look
            of.log.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)
            return
        of.set_aside(entry, {"code": str(Code.HOLD_NO_RECORD), "reason": "no custody record"})
