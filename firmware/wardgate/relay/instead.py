"""Where a link holds, the box may answer in the called side's place: what it accepts then, and who goes on with the association.

What only such a link needs is imported where it is used: a box that relays does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.policy.model import Commitment, Conformance, StatusRule
from wardgate.upperlayer.terms import ContextResult

if TYPE_CHECKING:
    from wardgate.hold.offer import Choice
    from wardgate.relay.association import Association


def choices_to_hold(a: Association) -> list[Choice] | None:
    """Return what the box may accept in the destination's place; `None` when that is nothing."""
    from wardgate.dimse.commitment import SOP_CLASS as COMMITMENT
    from wardgate.hold.offer import choose

    keeper = a.gate.keeper
    assert keeper is not None and a.request is not None and a.callee is not None
    if keeper.key_out is not None:
        return None
    known = keeper.recall(a.link, a.callee, a.request)
    commits = a.callee.commitment is Commitment.STORED or (a.callee.commitment is Commitment.DESTINATION and COMMITMENT in known)
    # PS3.15 A.1.1 d: who receives originals confirms them.
    commits |= a.link.sop_instance_status is StatusRule.HOLDER and a.caller.sop_instance_status is Conformance.CONFORMS
    choices = _something(choose(a.request, known, a.callee.hold_transfer_syntaxes, a.link.sop_classes, a.left_out, commits))
    unknown = sum(choice.result > ContextResult.USER_REJECTION for choice in choices or ())
    if choices is not None and unknown:
        a.gate.event(Code.HOLD_CONTEXT_UNKNOWN, a.titles, link=a.link.name, contexts=unknown, of=len(choices))
    return choices


def choices_of_a_report(a: Association) -> list[Choice] | None:
    """Return the same for a destination that calls only to report storage commitment: the box may have asked."""
    from wardgate.hold.offer import choose, reports_only

    assert a.request is not None
    if a.caller.commitment is not Commitment.DESTINATION or not reports_only(a.request):
        return None
    return _something(choose(a.request, {}, (), a.link.sop_classes, a.left_out, True))


def take_over(a: Association, choices: list[Choice]) -> None:
    """The open entry is durable: from here on the box is the Storage SCP."""
    from wardgate.hold.intake import HeldAssociation

    keeper = a.gate.keeper
    assert keeper is not None and a.ledger is not None and a.request is not None
    HeldAssociation(a, a.ledger, keeper, a.request, choices)


def _something(choices: list[Choice]) -> list[Choice] | None:
    return choices if any(choice.result == ContextResult.ACCEPTANCE for choice in choices) else None
