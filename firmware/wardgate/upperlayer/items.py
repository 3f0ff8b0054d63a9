"""Items that stand in both the A-ASSOCIATE-RQ and -AC: application context, presentation contexts and their syntaxes.

`raw` fields hold the bytes as they came, `uid` is their text without padding.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from wardgate.codes import Code
from wardgate.upperlayer.errors import AbortReason, PduError
from wardgate.upperlayer.frame import Item, UnknownItem, frames, text, uid_bytes
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import ContextResult, ItemType

__all__ = [
    "APPLICATION_CONTEXT",
    "AbstractSyntax",
    "ApplicationContext",
    "Item",
    "PresentationContextAC",
    "PresentationContextRQ",
    "TransferSyntax",
    "UidItem",
    "UnknownItem",
]

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1


class UidItem(Item):
    """An item that holds nothing but a UID."""

    raw: bytes
    reserved: int = 0
    TYPE: ClassVar[ItemType]

    @classmethod
    def of(cls, uid: str) -> Self:
        """Make the item from the text of a UID."""
        return cls(uid.encode("ascii"))

    @property
    def uid(self) -> str:
        """Return the UID as text, printable whatever came."""
        return text(self.raw)

    @property
    def number(self) -> int:
        return self.TYPE

    def content(self) -> bytes:
        return self.raw

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int) -> Self:
        """Take the content between `start` and `end`."""
        return cls(uid_bytes(data[start:end], start, cls.CLAUSE), reserved)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uid})"


class ApplicationContext(UidItem):
    """Item 10H."""

    TYPE = ItemType.APPLICATION_CONTEXT
    CLAUSE = "PS3.8 9.3.2.1"


class AbstractSyntax(UidItem):
    """Sub-item 30H: usually a SOP Class UID."""

    TYPE = ItemType.ABSTRACT_SYNTAX
    CLAUSE = "PS3.8 9.3.2.2.1"


class TransferSyntax(UidItem):
    """Sub-item 40H."""

    TYPE = ItemType.TRANSFER_SYNTAX
    CLAUSE = "PS3.8 9.3.2.2.2"


class PresentationContextRQ(Item):
    """Item 20H: one abstract syntax and the transfer syntaxes proposed for it. `reserved3`: the bytes after the ID."""

    id: int
    items: tuple[Item, ...]
    reserved: int = 0
    reserved3: bytes = bytes(3)
    CLAUSE = "PS3.8 9.3.2.2"

    @classmethod
    def of(cls, context_id: int, abstract_syntax: str, *transfer_syntaxes: str) -> PresentationContextRQ:
        """Make the item from the texts of its UIDs."""
        return cls(context_id, (AbstractSyntax.of(abstract_syntax), *map(TransferSyntax.of, transfer_syntaxes)))

    @property
    def abstract_syntax(self) -> str:
        """Return the UID of the abstract syntax."""
        return next(item.uid for item in self.items if isinstance(item, AbstractSyntax))

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """Return the UIDs of the proposed transfer syntaxes, in the order of the proposal."""
        return tuple(item.uid for item in self.items if isinstance(item, TransferSyntax))

    @property
    def number(self) -> int:
        return ItemType.PRESENTATION_CONTEXT_RQ

    def content(self) -> bytes:
        return bytes((self.id,)) + self.reserved3 + b"".join(item.encode() for item in self.items)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, limits: Limits, known: dict[bytes, Item]) -> PresentationContextRQ:
        """Take the content between `start` and `end`. Raises `PduError` unless there are one 30H and at least one 40H."""
        context_id = _context_id(data, start, end, cls.CLAUSE)
        items = _syntaxes(data, start + 4, end, limits, cls.CLAUSE, known)
        kinds = [type(item) for item in items]
        abstract = kinds.count(AbstractSyntax)
        if abstract != 1:  # with two, policy and peer might each look at another one
            raise PduError(start, cls.CLAUSE, f"presentation context {context_id} has {abstract} abstract syntaxes and must have 1")
        if TransferSyntax not in kinds:
            raise PduError(start, cls.CLAUSE, f"presentation context {context_id} proposes no transfer syntax")
        return cls(context_id, items, reserved, data[start + 1 : start + 4])


class PresentationContextAC(Item):
    """Item 21H: the answer to one context. The transfer syntax counts only with result 0; `reserved1`, `reserved2` lie around it."""

    id: int
    result: int
    items: tuple[Item, ...]
    reserved: int = 0
    reserved1: int = 0
    reserved2: int = 0
    CLAUSE = "PS3.8 9.3.3.2"

    @classmethod
    def of(cls, context_id: int, result: ContextResult, transfer_syntax: str) -> PresentationContextAC:
        """Make the item from the text of its UID."""
        return cls(context_id, result, (TransferSyntax.of(transfer_syntax),))

    @property
    def accepted(self) -> bool:
        """Tell whether messages may be sent on this context."""
        return self.result == ContextResult.ACCEPTANCE

    @property
    def transfer_syntax(self) -> str:
        """Return the UID of the transfer syntax; empty when the answer has none, which only a refusal may do."""
        return next((item.uid for item in self.items if isinstance(item, TransferSyntax)), "")

    @property
    def number(self) -> int:
        return ItemType.PRESENTATION_CONTEXT_AC

    def content(self) -> bytes:
        return bytes((self.id, self.reserved1, self.result, self.reserved2)) + b"".join(item.encode() for item in self.items)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, limits: Limits, known: dict[bytes, Item]) -> PresentationContextAC:
        """Take the content between `start` and `end`. Raises `PduError` unless an accepted context has one 40H."""
        context_id = _context_id(data, start, end, cls.CLAUSE)
        items = _syntaxes(data, start + 4, end, limits, cls.CLAUSE, known)
        count = [type(item) for item in items].count(TransferSyntax)
        result = data[start + 2]
        # A refusal without its transfer syntax is met in the field and means nothing else.
        if count > 1 or (result == ContextResult.ACCEPTANCE and count != 1):
            raise PduError(start, cls.CLAUSE, f"the answer to context {context_id} has {count} transfer syntaxes and must have 1")
        return cls(context_id, result, items, reserved, data[start + 1], data[start + 3])


def _context_id(data: bytes, start: int, end: int, clause: str) -> int:
    if end - start < 4:
        raise PduError(start, clause, f"a presentation context of {end - start} bytes; its fixed part has 4")
    context_id = data[start]
    if not context_id & 1:
        raise PduError(start, clause, f"presentation context ID {context_id} is not odd")
    return context_id


def _syntaxes(data: bytes, start: int, end: int, limits: Limits, clause: str, known: dict[bytes, Item]) -> tuple[Item, ...]:
    """Read the sub-items of a context. `known`: those of this PDU so far by their bytes; 128 contexts share a few syntaxes."""
    items: list[Item] = []
    for item_type, reserved, at, stop in frames(data, start, end, limits.context_items, clause):
        raw = data[at - 4 : stop]
        item = known.get(raw)
        if item is None:
            if item_type == ItemType.TRANSFER_SYNTAX:
                item = TransferSyntax.decode(data, at, stop, reserved)
            elif item_type == ItemType.ABSTRACT_SYNTAX:
                item = AbstractSyntax.decode(data, at, stop, reserved)
            else:
                item = UnknownItem(item_type, data[at:stop], reserved)
            known[raw] = item
        items.append(item)
    return tuple(items)


def distinct_ids(seen: set[int], context_id: int, at: int, limits: Limits, clause: str) -> None:
    """Count a context. Raises `PduError` beyond the bound or when its ID was there before: two would differ for policy and peer."""
    if len(seen) >= limits.contexts:
        raise PduError(at, clause, f"more than {limits.contexts} presentation contexts", code=Code.PDU_TOO_MANY)
    if context_id in seen:
        raise PduError(at, clause, f"presentation context ID {context_id} stands twice", AbortReason.INVALID_PARAMETER_VALUE)
    seen.add(context_id)
