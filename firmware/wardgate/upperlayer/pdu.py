"""All PDUs of PS3.8 9.3 in one place: `decode` any of them; each encodes itself, and back to the very bytes it came from."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardgate.upperlayer.associate import AssociateAC, AssociateRQ, ae_field
from wardgate.upperlayer.ending import Abort, AssociateRJ, ReleaseRP, ReleaseRQ
from wardgate.upperlayer.errors import AbortReason, PduError
from wardgate.upperlayer.limits import DEFAULT, Limits
from wardgate.upperlayer.pdata import PDV, PDataTF
from wardgate.upperlayer.terms import PduType

__all__ = [
    "HEADER_BYTES",
    "PDU",
    "PDV",
    "Abort",
    "AssociateAC",
    "AssociateRJ",
    "AssociateRQ",
    "Limits",
    "PDataTF",
    "PduType",
    "ReleaseRP",
    "ReleaseRQ",
    "accepted_contexts",
    "ae_field",
    "decode",
    "header",
]

PDU = AssociateRQ | AssociateAC | AssociateRJ | PDataTF | ReleaseRQ | ReleaseRP | Abort

HEADER_BYTES: Final = 6
_HEADER: Final = struct.Struct(">BxI")
_DECODERS: Final[dict[PduType, Callable[[bytes, Limits], PDU]]] = {
    PduType.ASSOCIATE_RQ: AssociateRQ.decode,
    PduType.ASSOCIATE_AC: AssociateAC.decode,
    PduType.ASSOCIATE_RJ: AssociateRJ.decode,
    PduType.P_DATA_TF: PDataTF.decode,
    PduType.RELEASE_RQ: ReleaseRQ.decode,
    PduType.RELEASE_RP: ReleaseRP.decode,
    PduType.ABORT: Abort.decode,
}


def header(data: bytes | bytearray | memoryview, limits: Limits = DEFAULT) -> tuple[PduType, int]:
    """Read the first 6 bytes: the type, and how many bytes come after them. Raises `PduError` before any of those is needed."""
    if len(data) < HEADER_BYTES:
        raise PduError(len(data), "PS3.8 9.3.1", f"{len(data)} bytes where a PDU header of {HEADER_BYTES} must stand")
    number, length = _HEADER.unpack_from(data)
    try:
        pdu_type = PduType(number)
    except ValueError:
        raise PduError(
            0, "PS3.8 9.3.1", f"PDU type {number:02X}H does not exist", AbortReason.UNRECOGNIZED_PDU, Code.PDU_UNKNOWN_TYPE
        ) from None
    if pdu_type is PduType.P_DATA_TF:
        most = limits.pdu_bytes
    elif pdu_type in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
        most = limits.associate_bytes
    else:
        most = 4
    if length > most:
        raise PduError(2, "PS3.8 9.3.1", f"the PDU says {length} bytes; at most {most} are taken", code=Code.PDU_TOO_LONG)
    return pdu_type, length


def decode(data: bytes | bytearray | memoryview, limits: Limits = DEFAULT) -> PDU:
    """Turn one whole PDU into its value. Raises `PduError`, also when bytes are missing or left over."""
    pdu_type, length = header(data, limits)
    if length != len(data) - HEADER_BYTES:
        raise PduError(2, "PS3.8 9.3.1", f"the PDU says {length} bytes, {len(data) - HEADER_BYTES} stand after its header")
    return _DECODERS[pdu_type](bytes(data), limits)


def accepted_contexts(rq: AssociateRQ, ac: AssociateAC) -> dict[int, tuple[str, str]]:
    """Return what was agreed: context ID to (abstract syntax, transfer syntax). Answers to what was not proposed count for nothing."""
    proposed = {context.id: context.abstract_syntax for context in rq.contexts}
    return {answer.id: (proposed[answer.id], answer.transfer_syntax) for answer in ac.contexts if answer.accepted and answer.id in proposed}
