"""C-STOREs under way in one direction of an association, and what their records say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from wardgate.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.dimse.command import Command
    from wardgate.edit.reframe import Passing

MAX_UNDER_WAY: Final = 256  # PS3.7 D.3.3.3 lets peers agree on more; none known does


class TooManyUnderWay(Exception):
    """More C-STOREs, or storage commitment reports, without a response than we follow."""

    code = Code.TOO_MANY_STORES


class Hash(Protocol):
    """SHA-256 of a data set: `update` is its sink."""

    @property
    def update(self) -> Callable[[memoryview], object]: ...

    def hexdigest(self) -> str: ...


class Store:
    """One C-STORE request (PS3.7 9.3.1): its data set is hashed as it passes."""

    __slots__ = ("context", "digest", "instance", "length", "message", "passing", "sop_class", "transfer_syntax", "unsure", "whole")

    def __init__(self, command: Command, context: int, transfer_syntax: str, digest: Hash) -> None:
        self.message = command.message_id
        self.sop_class = command.sop_class
        self.instance = command.sop_instance
        self.context = context
        self.transfer_syntax = transfer_syntax
        self.digest = digest
        self.length = 0
        self.whole = not command.has_data_set
        self.passing: Passing | None = None  # on links that edit it
        self.unsure = 0  # sequence number of its record, when the log may have that or not

    @property
    def left_whole(self) -> bool:
        """Did all of the data set leave the box? An edit that refuses it cuts it off."""
        return self.whole and (self.passing is None or self.passing.whole)

    def digests(self) -> list[tuple[str, str, str]]:
        """Return (algorithm, scope, hex) of the data set when all of it passed: the bytes on the wire after the command.

        `dataset-sent` beside it: an edit made other bytes of them.
        """
        if not self.left_whole:
            return []
        came = ("sha256", "dataset", self.digest.hexdigest())
        if self.passing is None or not self.passing.changed:
            return [came]
        return [came, ("sha256", "dataset-sent", self.passing.sha.hexdigest())]


class Stores:
    """The C-STORE requests of one direction that have no response yet, by message ID.

    A message ID that is used again before its answer (PS3.7 9.1 forbids it) is answered in the order of the requests.
    """

    __slots__ = ("_again", "current", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[int, Store] = {}
        self._again: list[Store] = []  # whose message ID is under way already
        self.current: Store | None = None  # whose data set is passing

    @property
    def count(self) -> int:
        """How many requests wait for a response."""
        return len(self.under_way) + len(self._again)

    def begin(self, store: Store) -> None:
        """A request begins to pass. Raises `TooManyUnderWay`."""
        if self.count >= MAX_UNDER_WAY:
            raise TooManyUnderWay
        if store.message in self.under_way:
            self._again.append(store)
        else:
            self.under_way[store.message] = store
        self.current = store

    def data_set(self, length: int) -> None:
        """The data set of the request that began last is whole."""
        store, self.current = self.current, None
        if store is not None:
            store.length = length
            store.whole = True

    def answered(self, message: int) -> Store | None:
        """Take out the request that a response answers."""
        store = self.under_way.pop(message, None)
        if self._again and store is not None:
            following = next((each for each in self._again if each.message == message), None)
            if following is not None:
                self._again.remove(following)
                self.under_way[message] = following
        return store

    def unanswered(self, received: int) -> list[Store]:
        """Take out all requests without a response; `received` bytes of the data set under way had passed."""
        if self.current is not None:
            self.current.length = received
        stores = list(self.under_way.values()) + self._again
        self.under_way.clear()
        self._again = []
        self.current = None
        return stores
