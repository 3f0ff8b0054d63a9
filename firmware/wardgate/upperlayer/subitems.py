"""Sub-items 51H to 57H of the user information item (PS3.8 annex D.1; PS3.7 D.3.3); 58H and 59H are in `identity`."""

from __future__ import annotations

import struct
from typing import Final

from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.frame import Item, exactly, field16, led16, text, uid_bytes
from wardgate.upperlayer.items import UidItem
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import ItemType

_U32: Final = struct.Struct(">I")
_TWO_U16: Final = struct.Struct(">HH")


class MaximumLength(Item):
    """Sub-item 51H: the longest P-DATA-TF content that the sender of this item takes, in bytes; 0 = no limit."""

    value: int
    reserved: int = 0
    CLAUSE = "PS3.8 D.1.1"

    @property
    def number(self) -> int:
        return ItemType.MAXIMUM_LENGTH

    def content(self) -> bytes:
        return _U32.pack(self.value)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> MaximumLength:
        exactly(4, start, end, cls.CLAUSE, "maximum length")
        return cls(_U32.unpack_from(data, start)[0], reserved)


class ImplementationClassUid(UidItem):
    """Sub-item 52H."""

    TYPE = ItemType.IMPLEMENTATION_CLASS_UID
    CLAUSE = "PS3.7 D.3.3.2.1"


class ImplementationVersionName(Item):
    """Sub-item 55H: 1 to 16 characters; a longer one is kept too, as no one acts on it."""

    raw: bytes
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.2.3"

    @property
    def name(self) -> str:
        """Return it as printable text."""
        return text(self.raw)

    @property
    def number(self) -> int:
        return ItemType.IMPLEMENTATION_VERSION_NAME

    def content(self) -> bytes:
        return self.raw

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> ImplementationVersionName:
        return cls(data[start:end], reserved)


class AsynchronousOperationsWindow(Item):
    """Sub-item 53H: operations outstanding at once; 0 = unlimited, 1 when the item is missing."""

    invoked: int
    performed: int
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.3"

    @property
    def number(self) -> int:
        return ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW

    def content(self) -> bytes:
        return _TWO_U16.pack(self.invoked, self.performed)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> AsynchronousOperationsWindow:
        exactly(4, start, end, cls.CLAUSE, "asynchronous operations window")
        invoked, performed = _TWO_U16.unpack_from(data, start)
        return cls(invoked, performed, reserved)


class _ClassItem(Item):
    """What the sub-items about one SOP class share."""

    raw_uid: bytes

    @property
    def uid(self) -> str:
        """Return the SOP Class UID as text."""
        return text(self.raw_uid)


class RoleSelection(_ClassItem):
    """Sub-item 54H: may the requestor be SCU, SCP of this SOP class (0 no, 1 yes)."""

    scu_role: int
    scp_role: int
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.4"

    @property
    def number(self) -> int:
        return ItemType.ROLE_SELECTION

    def content(self) -> bytes:
        return led16(self.raw_uid) + bytes((self.scu_role, self.scp_role))

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> RoleSelection:
        uid, at = _class_uid(data, start, end, cls.CLAUSE)
        if end - at != 2:
            raise PduError(at, cls.CLAUSE, f"{end - at} bytes stand where the two roles must")
        return cls(uid, data[at], data[at + 1], reserved)


class ExtendedNegotiation(_ClassItem):
    """Sub-item 56H: what a service class defines for itself."""

    information: bytes
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.5"

    @property
    def number(self) -> int:
        return ItemType.EXTENDED_NEGOTIATION

    def content(self) -> bytes:
        return led16(self.raw_uid) + self.information

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> ExtendedNegotiation:
        uid, at = _class_uid(data, start, end, cls.CLAUSE)
        return cls(uid, data[at:end], reserved)


class CommonExtendedNegotiation(_ClassItem):
    """Sub-item 57H: service class and related general SOP classes. `version` lies where others have their reserved byte.

    `rest`: bytes that a later version may add.
    """

    raw_service_class: bytes
    related: tuple[bytes, ...]
    rest: bytes = b""
    version: int = 0
    CLAUSE = "PS3.7 D.3.3.6"

    @property
    def number(self) -> int:
        return ItemType.COMMON_EXTENDED_NEGOTIATION

    def content(self) -> bytes:
        return led16(self.raw_uid) + led16(self.raw_service_class) + led16(b"".join(map(led16, self.related))) + self.rest

    def encode(self) -> bytes:
        whole = bytearray(super().encode())
        whole[1] = self.version
        return bytes(whole)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, limits: Limits) -> CommonExtendedNegotiation:
        uid, at = _class_uid(data, start, end, cls.CLAUSE)
        service_at = at
        service, at = field16(data, at, end, cls.CLAUSE, "Service Class UID")
        uid_bytes(service, service_at, cls.CLAUSE)
        listed, stop = field16(data, at, end, cls.CLAUSE, "list of related SOP classes")
        related: list[bytes] = []
        at = stop - len(listed)
        while at < stop:
            if len(related) >= limits.related_classes:
                raise PduError(at, cls.CLAUSE, f"more than {limits.related_classes} related SOP classes")
            one, after = field16(data, at, stop, cls.CLAUSE, "related SOP Class UID")
            related.append(uid_bytes(one, at, cls.CLAUSE))
            at = after
        return cls(uid, service, tuple(related), data[stop:end], reserved)


def _class_uid(data: bytes, start: int, end: int, clause: str) -> tuple[bytes, int]:
    uid, at = field16(data, start, end, clause, "SOP Class UID")
    return uid_bytes(uid, start + 2, clause), at
