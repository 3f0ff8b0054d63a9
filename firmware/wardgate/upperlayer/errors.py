"""What can go wrong in the upper layer: their fault (`PduError`) or ours (`LocalError`); the two are never mixed.

A `PduError` ends the association with an A-ABORT of source 2 and the reason it carries. A `LocalError` is a defect of
Wardgate, whatever the peer sent.
"""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.upperlayer.terms import AbortReason

__all__ = ["AbortReason", "LocalError", "PduError"]


class PduError(Exception):
    """The peer broke the protocol.

    `offset` counts bytes from 0 at the first byte of the PDU, `clause` names the rule, `message` is a plain sentence without
    any content of the PDU, `reason` is for the A-ABORT, `code` for the log.
    """

    def __init__(
        self,
        offset: int,
        clause: str,
        message: str,
        reason: AbortReason = AbortReason.INVALID_PARAMETER_VALUE,
        code: Code = Code.PDU_INVALID,
    ) -> None:
        super().__init__(f"byte {offset}: {message} ({clause})")
        self.offset = offset
        self.clause = clause
        self.message = message
        self.reason = reason
        self.code = code


class LocalError(Exception):
    """Wardgate itself asked the upper layer for something that the standard does not allow: our bug."""

    code = Code.UPPER_LAYER_DEFECT
