"""Decides about one association: who calls whom, in which direction, with which SOP classes. Pure.

A link that does not enforce refuses nothing that can be carried; the decision then says what it would have refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from wardgate.codes import Code
from wardgate.policy.model import ANY, Direction, Link, Party


class Result(IntEnum):
    """PS3.8 9.3.4, Table 9-21, Result."""

    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class Source(IntEnum):
    """PS3.8 9.3.4, Table 9-21, Source."""

    SERVICE_USER = 1
    ACSE = 2
    PRESENTATION = 3


class Reason(IntEnum):
    """PS3.8 9.3.4, Table 9-21, Reason/Diag. of the service-user."""

    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NOT_SUPPORTED = 2
    CALLING_AE_NOT_RECOGNIZED = 3
    CALLED_AE_NOT_RECOGNIZED = 7


class Refuse(NamedTuple):
    """An A-ASSOCIATE-RJ: its three numbers, and the code for log and status."""

    result: int
    source: int
    reason: int
    code: Code


class Accept(NamedTuple):
    """Carry it: to `peer` (the modality when a peer called), without the contexts refused.

    `would_refuse` and `would_refuse_context_ids` are what enforcement would have done, on a link that does not enforce.
    """

    peer: Party
    refused_context_ids: frozenset[int] = frozenset()
    would_refuse: Refuse | None = None
    would_refuse_context_ids: frozenset[int] = frozenset()


Decision = Accept | Refuse


def plain_title(title: str) -> str:
    """Return an AE title without what does not count in it: blanks and NULs at either end (PS3.8 9.3.2; NULs are tolerated)."""
    return title.strip(" \0")


def plain_uid(uid: str) -> str:
    """Return a UID without the padding that old peers leave in it: NULs and blanks."""
    return uid.strip(" \0")


def decide_association(
    link: Link,
    direction: Direction,
    calling_ae: str,
    called_ae: str,
    abstract_syntaxes: Iterable[tuple[int, str]],
    caller: Party | None = None,
) -> Decision:
    """Decide about an A-ASSOCIATE-RQ with presentation contexts `(id, abstract syntax UID)`.

    `caller` is the party that called, as told by port and source address; without it any party of the calling side will do.
    """
    objection: Refuse | None = None if direction in link.directions else _no(Reason.NO_REASON_GIVEN, Code.DIRECTION_REFUSED)
    calling, called = plain_title(calling_ae), plain_title(called_ae)
    outward = direction is Direction.TO_HOSPITAL
    callers = (caller,) if caller is not None else (link.modality,) if outward else link.peers
    if _find(callers, calling) is None:
        objection = objection or _no(Reason.CALLING_AE_NOT_RECOGNIZED, Code.CALLING_AE_REFUSED)
    callees = link.peers if outward else (link.modality,)
    callee = _find(callees, called)
    if callee is None:
        objection = objection or _no(Reason.CALLED_AE_NOT_RECOGNIZED, Code.CALLED_AE_REFUSED)
        callee = next((party for party in callees if party.connect), callees[0])  # observing: the first that can be reached

    contexts = [(context, plain_uid(uid)) for context, uid in abstract_syntaxes]
    refused = frozenset() if ANY in link.sop_classes else frozenset(c for c, uid in contexts if uid not in link.sop_classes)
    if objection is None and len(refused) == len({context for context, _ in contexts}):
        objection = _no(Reason.NO_REASON_GIVEN, Code.NO_CONTEXT_LEFT)

    if objection is not None and link.enforce:
        return objection
    if callee.connect is None:
        return _no(Reason.CALLED_AE_NOT_RECOGNIZED, Code.NO_ROUTE)
    if link.enforce:
        return Accept(callee, refused)
    return Accept(callee, frozenset(), objection, refused)


def _find(parties: Iterable[Party], title: str) -> Party | None:
    """Return the party that has the title, else the one that takes any."""
    for wanted in (title, ANY):
        for party in parties:
            if title and wanted in party.ae_titles:
                return party
    return None


def _no(reason: Reason, code: Code) -> Refuse:
    return Refuse(Result.REJECTED_PERMANENT, Source.SERVICE_USER, reason, code)
