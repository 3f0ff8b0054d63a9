"""SOP Instance Status where a link relays: rule f of PS3.15 A.1, and no other. Imported only on links that ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.custody.status import outside
from wardgate.edit.dataset import DatasetEdit
from wardgate.edit.elements import DatasetError, encoding_of
from wardgate.edit.reframe import Passing, Reframer
from wardgate.policy.model import Conformance, Party, Transport

if TYPE_CHECKING:
    from wardgate.relay.association import Association
    from wardgate.relay.stores import Store


def inside(party: Party) -> bool:
    """Is this leg inside the profile: its party conforms, over a secure transport, both sides authenticated (A.1.1 d, e)?"""
    return (
        party.sop_instance_status is Conformance.CONFORMS
        and party.transport is Transport.TLS
        and party.tls is not None
        and party.tls.mutual
    )


def arm(association: Association, caller_takes: int, called_takes: int) -> None:
    """Put the edit into both directions, unless both legs are inside the profile. The lengths: P-DATA-TF, as announced; 0: any."""
    assert association.callee is not None and association.back is not None
    if inside(association.caller) and inside(association.callee):
        return
    association.out.reframer = Reframer(called_takes)
    association.back.reframer = Reframer(caller_takes)


def passing_of(store: Store) -> Passing:
    """Return the edit of one instance. Raises `DatasetError` when its transfer syntax cannot be read: nothing of it has left."""
    encoding = encoding_of(store.transfer_syntax)
    if encoding is None:
        raise DatasetError(Code.STATUS_TRANSFER_SYNTAX, f"transfer syntax {store.transfer_syntax}")
    return Passing(DatasetEdit(encoding, outside), store.instance)
