"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 9.3.2, 9.3.3): the same fixed part of 74 bytes, then variable items.

Every byte is kept, reserved ones and unknown items too, so that encoding gives back what was decoded. Only what would
let two readers see two different things is refused here; whether an AE title or a UID is acceptable is policy's.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final, Self, TypeVar

from wardgate.upperlayer.errors import AbortReason, LocalError, PduError
from wardgate.upperlayer.frame import Item, UnknownItem, frames, text
from wardgate.upperlayer.items import (
    APPLICATION_CONTEXT,
    ApplicationContext,
    PresentationContextAC,
    PresentationContextRQ,
    distinct_ids,
)
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import ItemType, PduType
from wardgate.upperlayer.userinfo import UserInformation
from wardgate.upperlayer.value import Value

# Type, reserved, length; version, reserved, called AE title, calling AE title, reserved.
_FIXED: Final = struct.Struct(">BBIH2s16s16s32s")
ITEMS_AT: Final = _FIXED.size  # byte 75 in the counting of PS3.8
VERSION_1: Final = 1  # bit 0 of the protocol version

_T = TypeVar("_T", bound=Item)


def ae_field(title: str) -> bytes:
    """Return the 16 bytes of an AE title, padded with blanks. Raises `LocalError` unless it is 1 to 16 characters of ISO 646."""
    raw = title.encode("ascii", "replace")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title or not title.strip():
        raise LocalError(f"{title!r} is not an AE title")
    return raw.ljust(16)


class _Associate(Value):
    """What both PDUs share. `called_raw` and `calling_raw` are the 16 bytes as they came."""

    called_raw: bytes
    calling_raw: bytes
    items: tuple[Item, ...]
    protocol_version: int = VERSION_1
    reserved: int = 0
    reserved2: bytes = bytes(2)
    reserved32: bytes = bytes(32)

    TYPE: ClassVar[PduType]
    CLAUSE: ClassVar[str]
    CONTEXT_TYPE: ClassVar[ItemType]

    @property
    def called_ae(self) -> str:
        """Return the called AE title as printable text without its padding."""
        return text(self.called_raw)

    @property
    def calling_ae(self) -> str:
        """Return the calling AE title as printable text without its padding."""
        return text(self.calling_raw)

    @property
    def speaks_version_1(self) -> bool:
        """Tell whether bit 0 of the protocol version is set, the only bit that may be tested (PS3.8 9.3.2)."""
        return bool(self.protocol_version & VERSION_1)

    @property
    def application_context(self) -> str:
        """Return the UID of the application context."""
        return self._one(ApplicationContext).uid

    @property
    def user_information(self) -> UserInformation:
        """Return item 50H."""
        return self._one(UserInformation)

    @property
    def maximum_length(self) -> int:
        """Return the longest P-DATA-TF content that the sender of this PDU takes, in bytes; 0 = no limit."""
        return self.user_information.maximum_length

    def _one(self, kind: type[_T]) -> _T:
        for item in self.items:
            if isinstance(item, kind):
                return item
        raise LocalError(f"{type(self).__name__} was made without its {kind.__name__}")

    def encode(self) -> bytes:
        """Return the PDU. Raises `LocalError` when an AE title field is not 16 bytes or an item is too long."""
        if len(self.called_raw) != 16 or len(self.calling_raw) != 16:
            raise LocalError("an AE title field has 16 bytes (PS3.8 9.3.2)")
        items = b"".join(item.encode() for item in self.items)
        fixed = _FIXED.pack(
            self.TYPE,
            self.reserved,
            ITEMS_AT - 6 + len(items),
            self.protocol_version,
            self.reserved2,
            self.called_raw,
            self.calling_raw,
            self.reserved32,
        )
        return fixed + items

    @classmethod
    def decode(cls, data: bytes, limits: Limits) -> Self:
        """Take a whole PDU whose header was checked. Raises `PduError`."""
        if len(data) < ITEMS_AT:
            raise PduError(len(data), cls.CLAUSE, f"the PDU ends after {len(data)} bytes; its fixed part has {ITEMS_AT}")
        _, reserved, _, version, reserved2, called, calling, reserved32 = _FIXED.unpack_from(data)
        items: list[Item] = []
        ids: set[int] = set()
        known: dict[bytes, Item] = {}
        once: set[int] = set()
        for item_type, item_reserved, at, end in frames(data, ITEMS_AT, len(data), limits.items, cls.CLAUSE):
            if item_type in (ItemType.APPLICATION_CONTEXT, ItemType.USER_INFORMATION):
                if item_type in once:
                    raise PduError(at - 4, cls.CLAUSE, f"item {item_type:02X}H stands twice", AbortReason.UNEXPECTED_PARAMETER)
                once.add(item_type)
            items.append(cls._item(data, item_type, item_reserved, at, end, limits, ids, known))
        for needed in (ItemType.APPLICATION_CONTEXT, ItemType.USER_INFORMATION):
            if needed not in once:
                raise PduError(len(data), cls.CLAUSE, f"item {needed:02X}H is missing")
        # PS3.8 9.3.2 asks for one context at least. An AC without any accepts nothing, which needs no error.
        if not ids and cls.TYPE is PduType.ASSOCIATE_RQ:
            raise PduError(len(data), cls.CLAUSE, "no presentation context is proposed")
        return cls(called, calling, tuple(items), version, reserved, reserved2, reserved32)

    @classmethod
    def _item(
        cls, data: bytes, item_type: int, reserved: int, at: int, end: int, limits: Limits, ids: set[int], known: dict[bytes, Item]
    ) -> Item:
        if item_type == ItemType.APPLICATION_CONTEXT:
            return ApplicationContext.decode(data, at, end, reserved)
        if item_type == ItemType.USER_INFORMATION:
            return UserInformation.decode(data, at, end, reserved, limits)
        if item_type == cls.CONTEXT_TYPE:
            distinct_ids(ids, data[at] if end > at else 0, at, limits, cls.CLAUSE)
            return cls._context(data, at, end, reserved, limits, known)
        return UnknownItem(item_type, data[at:end], reserved)

    @classmethod
    def _context(cls, data: bytes, at: int, end: int, reserved: int, limits: Limits, known: dict[bytes, Item]) -> Item:
        raise NotImplementedError


class AssociateRQ(_Associate):
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

    TYPE = PduType.ASSOCIATE_RQ
    CLAUSE = "PS3.8 9.3.2"
    CONTEXT_TYPE = ItemType.PRESENTATION_CONTEXT_RQ

    @classmethod
    def of(cls, called: str, calling: str, contexts: tuple[PresentationContextRQ, ...], user: UserInformation) -> AssociateRQ:
        """Make the PDU with the application context of DICOM."""
        return cls(ae_field(called), ae_field(calling), (ApplicationContext.of(APPLICATION_CONTEXT), *contexts, user))

    @classmethod
    def _context(cls, data: bytes, at: int, end: int, reserved: int, limits: Limits, known: dict[bytes, Item]) -> Item:
        return PresentationContextRQ.decode(data, at, end, reserved, limits, known)

    @property
    def contexts(self) -> tuple[PresentationContextRQ, ...]:
        """Return the proposed presentation contexts, in the order of the proposal."""
        return tuple(item for item in self.items if isinstance(item, PresentationContextRQ))


class AssociateAC(_Associate):
    """A-ASSOCIATE-AC (PS3.8 9.3.3). Its AE title fields should echo the RQ's and are not tested."""

    TYPE = PduType.ASSOCIATE_AC
    CLAUSE = "PS3.8 9.3.3"
    CONTEXT_TYPE = ItemType.PRESENTATION_CONTEXT_AC

    @classmethod
    def of(cls, rq: AssociateRQ, contexts: tuple[PresentationContextAC, ...], user: UserInformation) -> AssociateAC:
        """Make the answer to `rq`."""
        return cls(rq.called_raw, rq.calling_raw, (ApplicationContext.of(APPLICATION_CONTEXT), *contexts, user))

    @classmethod
    def _context(cls, data: bytes, at: int, end: int, reserved: int, limits: Limits, known: dict[bytes, Item]) -> Item:
        return PresentationContextAC.decode(data, at, end, reserved, limits, known)

    @property
    def contexts(self) -> tuple[PresentationContextAC, ...]:
        """Return the answers, in their order."""
        return tuple(item for item in self.items if isinstance(item, PresentationContextAC))
