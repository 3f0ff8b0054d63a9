"""The `associate` edit: a SOP class that policy refuses has its presentation context left out of the A-ASSOCIATE-RQ.

The called side never hears of it; the caller finds it answered in the A-ASSOCIATE-AC with result 1, user-rejection
(PS3.8 9.3.3.2), as if the called side had refused it. All other bytes stay: sub-items of item 50H that name the class too
(role selection, extended negotiation), which mean nothing without its context, reserved bytes and unknown items.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from wardgate.codes import Code
from wardgate.edit import EditError
from wardgate.upperlayer.associate import ITEMS_AT, AssociateRQ
from wardgate.upperlayer.errors import AbortReason, PduError
from wardgate.upperlayer.frame import frames
from wardgate.upperlayer.items import PresentationContextAC, PresentationContextRQ, TransferSyntax
from wardgate.upperlayer.terms import ContextResult, ItemType

_LENGTH: Final = struct.Struct(">I")


class NothingLeft(Exception):
    """Every proposed presentation context is refused: the caller gets an A-ASSOCIATE-RJ instead."""


def leave_out(rq: bytes, refused: frozenset[int]) -> bytes:
    """Return the A-ASSOCIATE-RQ without the contexts in `refused`; with none refused, the very object given.

    `rq` was decoded before. Raises `NothingLeft`, or `EditError` for an ID that is not proposed.
    """
    if not refused:
        return rq
    kept: list[bytes] = []
    contexts = 0
    found: set[int] = set()
    for item_type, context_id, start, end in _items(rq, "PS3.8 9.3.2"):
        if item_type == ItemType.PRESENTATION_CONTEXT_RQ:
            if context_id in refused:
                found.add(context_id)
                continue
            contexts += 1
        kept.append(rq[start:end])
    if found != refused:
        raise EditError(f"contexts {sorted(refused - found)} are to be left out and were not proposed")
    if not contexts:
        raise NothingLeft
    return _joined(rq, kept)


def answer(ac: bytes, rq: AssociateRQ, refused: frozenset[int]) -> bytes:
    """Return the A-ASSOCIATE-AC with an answer for each context in `refused`, at its place in the order of the proposal.

    `rq` is the PDU as it came, before `leave_out`. With none refused, the very object given comes back. Raises `PduError` when
    the called side answers a context that it was never asked for, `EditError` for an ID that is not proposed.
    """
    if not refused:
        return ac
    order = {context.id: place for place, context in enumerate(rq.contexts)}
    missing = [context for context in rq.contexts if context.id in refused]
    if len(missing) != len(refused):
        raise EditError(f"contexts {sorted(refused - order.keys())} are to be answered and were not proposed")
    parts: list[bytes] = []
    after_last = 0  # where in `parts` the answers end
    for item_type, context_id, start, end in _items(ac, "PS3.8 9.3.3"):
        if item_type == ItemType.PRESENTATION_CONTEXT_AC:
            if context_id in refused:
                raise PduError(
                    start + 4,
                    "PS3.8 9.3.3.2",
                    f"presentation context {context_id} is answered and was not proposed",
                    AbortReason.UNEXPECTED_PARAMETER,
                    Code.CONTEXT_ANSWER_UNASKED,
                )
            while missing and order[missing[0].id] < order.get(context_id, -1):
                parts.append(_refusal(missing.pop(0)))
            after_last = len(parts) + 1
        elif item_type == ItemType.APPLICATION_CONTEXT and not after_last:
            after_last = len(parts) + 1
        parts.append(ac[start:end])
    parts[after_last:after_last] = [_refusal(context) for context in missing]
    return _joined(ac, parts)


def _refusal(context: PresentationContextRQ) -> bytes:
    """Answer one context. Its transfer syntax is not significant but must stand there: the first one proposed (PS3.8 9.3.3.2)."""
    first = next(item for item in context.items if isinstance(item, TransferSyntax))
    return PresentationContextAC(context.id, ContextResult.USER_REJECTION, (TransferSyntax(first.raw),)).encode()


def _items(pdu: bytes, clause: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (type, first byte of the content or 0, item start, item end) of the items of an A-ASSOCIATE-RQ or -AC."""
    for item_type, _reserved, start, end in frames(pdu, ITEMS_AT, len(pdu), len(pdu), clause):
        yield item_type, pdu[start] if end > start else 0, start - 4, end


def _joined(pdu: bytes, items: list[bytes]) -> bytes:
    """Put the fixed part of `pdu` before `items` and mend the one thing that must change, the PDU length."""
    tail = b"".join(items)
    return b"".join((pdu[:2], _LENGTH.pack(ITEMS_AT - 6 + len(tail)), pdu[6:ITEMS_AT], tail))
