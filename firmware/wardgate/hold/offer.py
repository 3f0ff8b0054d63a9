"""What the box accepts in the destination's place: only what the destination will take later, in the same transfer syntax. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from wardgate.dimse.commitment import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from wardgate.dimse.commitment import SOP_CLASS as COMMITMENT
from wardgate.policy.model import ANY
from wardgate.upperlayer.items import PresentationContextAC, PresentationContextRQ
from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ
from wardgate.upperlayer.subitems import ImplementationClassUid, ImplementationVersionName, MaximumLength, RoleSelection
from wardgate.upperlayer.terms import ContextResult
from wardgate.upperlayer.userinfo import UserInformation

VERIFICATION: Final = "1.2.840.10008.1.1"
MAXIMUM_LENGTH: Final = 131072  # of a P-DATA-TF that the box takes: what DCMTK sends at most
IMPLEMENTATION_CLASS: Final = "2.25.114954216837421943471789586239802257027"  # PS3.5 B.2: from a UUID
IMPLEMENTATION_VERSION: Final = "WARDGATE_1"
_STANDARD: Final = "1.2.840.10008."
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."  # PS3.4 B.5
_MORE_STORAGE: Final = frozenset(  # PS3.4 GG.3: Non-Patient Object Storage
    {
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
        "1.2.840.10008.5.1.4.44.1",
        "1.2.840.10008.5.1.4.45.1",
    }
)


class Choice(NamedTuple):
    """The answer to one context; `transfer_syntax` counts only when `result` is 0."""

    context: PresentationContextRQ
    result: ContextResult
    transfer_syntax: str


def is_storage(sop_class: str, sop_classes: frozenset[str]) -> bool:
    """Is this a class whose instances are stored? A private one is when the link names it."""
    if sop_class.startswith(_STANDARD):
        return sop_class.startswith(_STORAGE) or sop_class in _MORE_STORAGE
    return sop_class in sop_classes


def choose(
    request: AssociateRQ,
    known: Mapping[str, Sequence[str]],
    listed: Sequence[str],
    sop_classes: frozenset[str],
    refused: frozenset[int],
    commitment: bool = False,
) -> list[Choice]:
    """Answer each proposed context: `known` of the destination, `listed` in the configuration, `refused` by policy.

    `commitment`: storage commitment is taken in the destination's place.
    """
    return [
        _commitment(context)
        if commitment and context.abstract_syntax == COMMITMENT and context.id not in refused
        else _one(context, known, listed, sop_classes, context.id in refused)
        for context in request.contexts
    ]


def reports_only(request: AssociateRQ) -> bool:
    """Does a destination call to report storage commitment, and for nothing else but perhaps an echo?"""
    classes = {context.abstract_syntax for context in request.contexts}
    return COMMITMENT in classes and classes <= {COMMITMENT, VERIFICATION}


def _commitment(context: PresentationContextRQ) -> Choice:
    """Take a transfer syntax in which its messages are read."""
    for syntax in (EXPLICIT_LITTLE, IMPLICIT_LITTLE):
        if syntax in context.transfer_syntaxes:
            return Choice(context, ContextResult.ACCEPTANCE, syntax)
    return Choice(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, context.transfer_syntaxes[0])


def _one(
    context: PresentationContextRQ, known: Mapping[str, Sequence[str]], listed: Sequence[str], sop_classes: frozenset[str], refused: bool
) -> Choice:
    abstract, proposed = context.abstract_syntax, context.transfer_syntaxes
    if refused:
        return Choice(context, ContextResult.USER_REJECTION, proposed[0])
    if abstract == VERIFICATION:  # a C-ECHO has no data set: any transfer syntax will do
        return Choice(context, ContextResult.ACCEPTANCE, IMPLICIT_LITTLE if IMPLICIT_LITTLE in proposed else proposed[0])
    if not is_storage(abstract, sop_classes):
        return Choice(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, proposed[0])
    taken = known.get(abstract, ())
    for syntaxes in (taken, listed):
        for syntax in proposed:
            if syntax in syntaxes and syntax != ANY:
                return Choice(context, ContextResult.ACCEPTANCE, syntax)
    unknown = not taken and not listed
    result = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED if unknown else ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
    return Choice(context, result, proposed[0])


def user_information() -> UserInformation:
    """Return item 50H of the box: no asynchronous window, no role, no extended negotiation."""
    return UserInformation(
        (
            MaximumLength(MAXIMUM_LENGTH),
            ImplementationClassUid.of(IMPLEMENTATION_CLASS),
            ImplementationVersionName(IMPLEMENTATION_VERSION.encode("ascii")),
        )
    )


def answer(request: AssociateRQ, choices: list[Choice], reports: bool = False) -> AssociateAC:
    """Return the A-ASSOCIATE-AC. `reports`: a destination calls to report storage commitment."""
    contexts = tuple(PresentationContextAC.of(each.context.id, each.result, each.transfer_syntax) for each in choices)
    # PS3.7 D.3.3.4, PS3.4 J.3: who asks for commitment is its SCU, who reports it is its SCP. Other roles are left as they are.
    roles = tuple(
        RoleSelection(role.raw_uid, 0 if reports else role.scu_role, role.scp_role if reports else 0)
        for role in request.user_information.items
        if isinstance(role, RoleSelection) and role.uid == COMMITMENT
    )
    return AssociateAC.of(request, contexts, UserInformation((*user_information().items, *roles)))
