"""Item 50H, user information: the container of the sub-items (PS3.8 9.3.2.3, 9.3.3.3, annex D.1; PS3.7 D.3.3).

Sub-items may come in any order and unknown ones are kept. Those that describe the association as a whole may stand once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from wardgate.upperlayer.errors import AbortReason, PduError
from wardgate.upperlayer.frame import Item, UnknownItem, frames
from wardgate.upperlayer.identity import UserIdentityAC, UserIdentityRQ
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.subitems import (
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ImplementationClassUid,
    ImplementationVersionName,
    MaximumLength,
    RoleSelection,
)
from wardgate.upperlayer.terms import ItemType

_T = TypeVar("_T", bound=Item)
_Decoder = Callable[[bytes, int, int, int, Limits], Item]

_DECODERS: Final[dict[int, _Decoder]] = {
    ItemType.MAXIMUM_LENGTH: MaximumLength.decode,
    ItemType.IMPLEMENTATION_CLASS_UID: lambda data, start, end, reserved, _: ImplementationClassUid.decode(data, start, end, reserved),
    ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW: AsynchronousOperationsWindow.decode,
    ItemType.ROLE_SELECTION: RoleSelection.decode,
    ItemType.IMPLEMENTATION_VERSION_NAME: ImplementationVersionName.decode,
    ItemType.EXTENDED_NEGOTIATION: ExtendedNegotiation.decode,
    ItemType.COMMON_EXTENDED_NEGOTIATION: CommonExtendedNegotiation.decode,
    ItemType.USER_IDENTITY_RQ: UserIdentityRQ.decode,
    ItemType.USER_IDENTITY_AC: UserIdentityAC.decode,
}

# Two of these would mean one thing to us and another to the peer.
_ONCE: Final = frozenset(
    {
        ItemType.MAXIMUM_LENGTH,
        ItemType.IMPLEMENTATION_CLASS_UID,
        ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW,
        ItemType.IMPLEMENTATION_VERSION_NAME,
        ItemType.USER_IDENTITY_RQ,
        ItemType.USER_IDENTITY_AC,
    }
)


class UserInformation(Item):
    """Item 50H and its sub-items, in the order in which they came."""

    items: tuple[Item, ...]
    reserved: int = 0
    CLAUSE = "PS3.8 9.3.2.3"

    @property
    def number(self) -> int:
        return ItemType.USER_INFORMATION

    def content(self) -> bytes:
        return b"".join(item.encode() for item in self.items)

    def first(self, kind: type[_T]) -> _T | None:
        """Return the first sub-item of a class, or `None`."""
        return next((item for item in self.items if isinstance(item, kind)), None)

    def all(self, kind: type[_T]) -> tuple[_T, ...]:
        """Return all sub-items of a class."""
        return tuple(item for item in self.items if isinstance(item, kind))

    @property
    def maximum_length(self) -> int:
        """Return the longest P-DATA-TF content that the sender takes, in bytes; 0 = no limit, also when it does not say."""
        item = self.first(MaximumLength)
        return item.value if item is not None else 0

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, limits: Limits) -> UserInformation:
        """Take the content between `start` and `end`. Raises `PduError` at the first sub-item that is wrong."""
        items: list[Item] = []
        seen: set[int] = set()
        for item_type, item_reserved, at, stop in frames(data, start, end, limits.sub_items, cls.CLAUSE):
            decoder = _DECODERS.get(item_type)
            if decoder is None:
                items.append(UnknownItem(item_type, data[at:stop], item_reserved))
                continue
            if item_type in _ONCE:
                if item_type in seen:
                    raise PduError(at - 4, cls.CLAUSE, f"sub-item {item_type:02X}H stands twice", AbortReason.UNEXPECTED_PARAMETER)
                seen.add(item_type)
            items.append(decoder(data, at, stop, item_reserved, limits))
        return cls(tuple(items), reserved)
