"""A PDU that is not P-DATA-TF, put to the state machine of an association that ends in the box; sans-IO."""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.machine import Effect, UpperLayer, event_of
from wardgate.upperlayer.pdu import PDU, Abort, decode
from wardgate.upperlayer.terms import AbortReason, AbortSource, PduType


def heard(machine: UpperLayer, pdu: bytes) -> tuple[PDU, tuple[Effect, ...]]:
    """Return `pdu` decoded and what its event asks for.

    Raises `PduError`, with the state as before, where the machine would abort (PS3.8 9.2).
    """
    decoded = decode(pdu)
    before = machine.state
    source = AbortSource.USER
    if isinstance(decoded, Abort) and decoded.source == AbortSource.PROVIDER:
        source = AbortSource.PROVIDER
    effects = machine.handle(event_of(pdu[0]), abort_source=source)
    if Effect.SEND_ABORT_PROVIDER in effects or Effect.SEND_ABORT_USER in effects:
        machine.state = before
        raise PduError(0, "9.2", f"{PduType(pdu[0]).name} in {before.name}", AbortReason.UNEXPECTED_PDU, Code.UNEXPECTED_PDU)
    return decoded, effects
