"""Sub-items 58H and 59H: who the user is, and the answer to it (PS3.7 D.3.3.7). Their content is secret and never printed."""

from __future__ import annotations

from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.frame import Item, field16, led16, nothing_after
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import ItemType


class UserIdentityRQ(Item):
    """Sub-item 58H. `identity_type` as in `IdentityType`; `primary` and `secondary` are secrets and never printed."""

    identity_type: int
    response_requested: int
    primary: bytes
    secondary: bytes = b""
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.7.1"

    @property
    def number(self) -> int:
        return ItemType.USER_IDENTITY_RQ

    def content(self) -> bytes:
        return bytes((self.identity_type, self.response_requested)) + led16(self.primary) + led16(self.secondary)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> UserIdentityRQ:
        if end - start < 2:
            raise PduError(start, cls.CLAUSE, "the user identity is cut short")
        primary, at = field16(data, start + 2, end, cls.CLAUSE, "primary field")
        secondary, at = field16(data, at, end, cls.CLAUSE, "secondary field")
        nothing_after(at, end, cls.CLAUSE)
        return cls(data[start], data[start + 1], primary, secondary, reserved)


class UserIdentityAC(Item):
    """Sub-item 59H: the server's response, a secret too."""

    response: bytes
    reserved: int = 0
    CLAUSE = "PS3.7 D.3.3.7.2"

    @property
    def number(self) -> int:
        return ItemType.USER_IDENTITY_AC

    def content(self) -> bytes:
        return led16(self.response)

    @classmethod
    def decode(cls, data: bytes, start: int, end: int, reserved: int, _limits: Limits) -> UserIdentityAC:
        response, at = field16(data, start, end, cls.CLAUSE, "server response")
        nothing_after(at, end, cls.CLAUSE)
        return cls(response, reserved)
