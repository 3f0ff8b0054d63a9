"""Association PDUs read once: a modality opens every association with the same bytes, and with 128 contexts reading them takes half a
millisecond.

What is kept is what `decode` made of exactly these bytes, and what follows from it alone; values never change, so who gets one a
second time gets the same. A PDU with a user identity (PS3.7 D.3.3.7) is not kept: its passcode must not outlive the association.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.dimse.storeless import may_store
from wardgate.policy.decide import Decision, decide_association
from wardgate.upperlayer.identity import UserIdentityAC, UserIdentityRQ
from wardgate.upperlayer.pdu import PDU, AssociateAC, AssociateRQ, Limits, accepted_contexts, decode
from wardgate.upperlayer.subitems import AsynchronousOperationsWindow

if TYPE_CHECKING:
    from wardgate.policy.model import Direction, Link, Party

MAX_KEPT: Final = 48  # requests and answers of some twenty modalities
MAX_BYTES: Final = 8192  # of one; longer ones are read each time


class Read:
    """One PDU and what follows from it. The fields after `value` are those of an A-ASSOCIATE-RQ or -AC."""

    __slots__ = (
        "_agreed", "_agreed_with", "_decided",
        "asynchronous", "called", "calling", "contexts", "kept", "maximum_length", "may_store", "value",
    )  # fmt: skip

    def __init__(self, value: PDU) -> None:
        self.value = value
        self.calling = self.called = ""
        self.contexts: tuple[tuple[int, str], ...] = ()  # proposed: ID, abstract syntax
        self.maximum_length = 0
        self.may_store = True  # a C-STORE can come under it
        self.asynchronous = False  # several operations may be under way (PS3.7 D.3.3.3)
        self.kept = True
        self._agreed: dict[int, tuple[str, str]] = {}
        self._agreed_with: AssociateRQ | None = None
        self._decided: dict[tuple[int, int], Decision] = {}
        if isinstance(value, AssociateRQ | AssociateAC):
            user = value.user_information
            self.maximum_length = user.maximum_length
            window = user.first(AsynchronousOperationsWindow)
            self.asynchronous = window is not None and (window.invoked, window.performed) != (1, 1)
            self.kept = user.first(UserIdentityRQ) is None and user.first(UserIdentityAC) is None
            if isinstance(value, AssociateRQ):
                self.calling, self.called = value.calling_ae, value.called_ae
                self.contexts = tuple((context.id, context.abstract_syntax) for context in value.contexts)
                self.may_store = may_store(abstract for _id, abstract in self.contexts)

    def decide(self, link: Link, direction: Direction, caller: Party) -> Decision:
        """Return what policy says of this A-ASSOCIATE-RQ. `link` and `caller` are of the worker's configuration, which never changes."""
        place = (id(link), id(caller))
        decision = self._decided.get(place)
        if decision is None:
            decision = decide_association(link, direction, self.calling, self.called, self.contexts, caller=caller)
            self._decided[place] = decision
        return decision

    def agreed(self, rq: AssociateRQ) -> dict[int, tuple[str, str]]:
        """Return what this A-ASSOCIATE-AC accepts of `rq`, as `accepted_contexts` does. The caller may change its copy."""
        if self._agreed_with is not rq:
            assert isinstance(self.value, AssociateAC)
            self._agreed, self._agreed_with = accepted_contexts(rq, self.value), rq
        return self._agreed.copy()


class Pdus:
    """Reads PDUs that are not P-DATA-TF. One a worker."""

    def __init__(self, associate_bytes: int) -> None:
        self._limits = Limits(associate_bytes=associate_bytes)
        self._kept: dict[bytes, Read] = {}  # the one used last at the end

    def read(self, data: bytes) -> Read:
        """Return what `data`, one whole PDU, says. Raises `PduError`."""
        known = self._kept.pop(data, None)
        if known is not None:
            self._kept[data] = known
            return known
        made = Read(decode(data, self._limits))
        if made.kept and len(data) <= MAX_BYTES:
            self._kept[data] = made
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return made

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)
