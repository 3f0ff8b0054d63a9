"""Contexts and roles of storage commitment in an association (PS3.7 D.3.3.4, PS3.4 J.3). Pure."""

from __future__ import annotations

from typing import Final

from wardgate.dimse.commitment import EXPLICIT_LITTLE, IMPLICIT_LITTLE, SOP_CLASS
from wardgate.hold.offer import user_information
from wardgate.upperlayer.items import PresentationContextRQ
from wardgate.upperlayer.subitems import RoleSelection
from wardgate.upperlayer.userinfo import UserInformation

CONTEXT: Final = 1


def proposal() -> tuple[PresentationContextRQ, ...]:
    """Return the one context that the box proposes."""
    return (PresentationContextRQ.of(CONTEXT, SOP_CLASS, IMPLICIT_LITTLE, EXPLICIT_LITTLE),)


def as_scp() -> UserInformation:
    """Return item 50H of an association that brings a report: its requestor is the SCP (PS3.4 J.3.3, PS3.7 D.3.3.4)."""
    return UserInformation((*user_information().items, RoleSelection(SOP_CLASS.encode("ascii"), 0, 1)))
