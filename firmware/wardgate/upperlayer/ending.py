"""The four PDUs of fixed length that refuse or end an association: A-ASSOCIATE-RJ, A-RELEASE-RQ and -RP, A-ABORT."""

from __future__ import annotations

import struct
from typing import ClassVar, Final, Self

from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import AbortReason, AbortSource, PduType, RejectCause, RejectResult
from wardgate.upperlayer.value import Value

_SIX: Final = struct.Struct(">BBI4s")


def _content(data: bytes, clause: str) -> bytes:
    if len(data) != 10:
        raise PduError(2, clause, f"the PDU has {len(data) - 6} bytes after its header and must have 4")
    return data[6:10]


class AssociateRJ(Value):
    """A-ASSOCIATE-RJ (PS3.8 9.3.4); numbers as in `RejectResult` and `RejectCause`, others are kept as they came."""

    result: int
    source: int
    reason: int
    reserved: int = 0
    reserved1: int = 0

    @classmethod
    def of(cls, result: RejectResult, cause: RejectCause) -> AssociateRJ:
        """Make the PDU from the named result and cause."""
        return cls(int(result), *cause.value)

    @property
    def cause(self) -> RejectCause | None:
        """Return source and reason by name, or `None` for a pair that PS3.8 reserves."""
        pair = (self.source, self.reason)
        return next((cause for cause in RejectCause if cause.value == pair), None)

    def encode(self) -> bytes:
        """Return the PDU, 10 bytes."""
        return _SIX.pack(PduType.ASSOCIATE_RJ, self.reserved, 4, bytes((self.reserved1, self.result, self.source, self.reason)))

    @classmethod
    def decode(cls, data: bytes, _limits: Limits) -> AssociateRJ:
        """Take a whole PDU. Raises `PduError`."""
        reserved1, result, source, reason = _content(data, "PS3.8 9.3.4")
        return cls(result, source, reason, data[1], reserved1)


class _Release(Value):
    """What both release PDUs share."""

    reserved: int = 0
    reserved4: bytes = bytes(4)

    TYPE: ClassVar[PduType]
    CLAUSE: ClassVar[str]

    def encode(self) -> bytes:
        """Return the PDU, 10 bytes."""
        return _SIX.pack(self.TYPE, self.reserved, 4, self.reserved4)

    @classmethod
    def decode(cls, data: bytes, _limits: Limits) -> Self:
        """Take a whole PDU. Raises `PduError`."""
        return cls(data[1], _content(data, cls.CLAUSE))


class ReleaseRQ(_Release):
    """A-RELEASE-RQ (PS3.8 9.3.6)."""

    TYPE = PduType.RELEASE_RQ
    CLAUSE = "PS3.8 9.3.6"


class ReleaseRP(_Release):
    """A-RELEASE-RP (PS3.8 9.3.7)."""

    TYPE = PduType.RELEASE_RP
    CLAUSE = "PS3.8 9.3.7"


class Abort(Value):
    """A-ABORT (PS3.8 9.3.8); numbers as in `AbortSource` and `AbortReason`, others are kept as they came."""

    source: int = AbortSource.USER
    reason: int = AbortReason.NOT_SPECIFIED
    reserved: int = 0
    reserved2: bytes = bytes(2)

    @classmethod
    def by_provider(cls, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> Abort:
        """Make the A-ABORT that ends an association for a fault of the peer, with `PduError.reason`."""
        return cls(int(AbortSource.PROVIDER), int(reason))

    def encode(self) -> bytes:
        """Return the PDU, 10 bytes."""
        return _SIX.pack(PduType.ABORT, self.reserved, 4, self.reserved2 + bytes((self.source, self.reason)))

    @classmethod
    def decode(cls, data: bytes, _limits: Limits) -> Abort:
        """Take a whole PDU. Raises `PduError`."""
        content = _content(data, "PS3.8 9.3.8")
        return cls(content[2], content[3], data[1], content[:2])
