"""Originals in the queue: what the forwarder does with SOP Instance Status on links whose box is a holder (PS3.15 A.1.1 a to f).

The claim of an instance is a note beside its bytes (`holding`); every change of it has a custody record, which is durable before the claim
is, and the claim is durable before anything follows of it: the journal of commitment must not know of a transfer that the claim has
forgotten. A claim that was not written yet is made anew from the bytes and the configuration, which gives the same; then a record may
stand twice.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.custody import event
from wardgate.custody.status import After, NotPermitted, State
from wardgate.custody.wire import Op, Status
from wardgate.edit.dataset import DatasetEdit, Rule, Values
from wardgate.edit.elements import DatasetError, encoding_of
from wardgate.edit.reframe import Passing
from wardgate.hold import holding
from wardgate.hold.files import is_passing
from wardgate.hold.holding import Claim
from wardgate.hold.seal import Damaged
from wardgate.policy.model import Conformance, StatusRule, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.header import Header
    from wardgate.hold.store import Entry
    from wardgate.policy.model import Link, Party

NOTE: Final = "claim"
WAITS: Final = "waits for authorization"
UNCONFIRMED: Final = "waits until its sender has heard that it is committed"
COPY: Final = "copy kept after the transfer"
AGAIN_SECONDS: Final = 10.0
DAMAGED_SECONDS: Final = 600.0  # a disk that gives it then after all
PENDING: Final = (State.OR_PENDING, State.AO_PENDING)
COPIES: Final = (State.NS, State.AC)


class Aside(NamedTuple):
    """An instance that does not leave now, and why."""

    code: Code
    reason: str
    fields: dict[str, object]


class Found(NamedTuple):
    """What the bytes of an instance say: the four attributes as they came, and the digest of the data set."""

    came: Values
    sha256: str


class Originals:
    """One a forwarder. Reads instances whole, on the loop: on such links only."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.gate = forwarder.gate
        self._received: dict[tuple[str, str, str], list[tuple[Entry, Header]]] = {}  # originals that the box has not confirmed yet

    def restore(self) -> None:
        """Find what an earlier life had received and not confirmed."""
        for entry in self._forwarder.store.quarantined():
            claim = self.kept(entry)
            if claim is not None and claim.state in holding.RECEIVED:
                self._remember(entry, self._header(entry))

    def _remember(self, entry: Entry, header: Header) -> None:
        found = self._received.setdefault((header.link, header.peer, header.sop_instance), [])
        if all(entry.stem != known.stem for known, _header in found):
            found.append((entry, header))

    def governs(self, link: Link) -> bool:
        """Is the box a holder on this link?"""
        return link.sop_instance_status is StatusRule.HOLDER

    # --- what an instance is

    def kept(self, entry: Entry) -> Claim | None:
        """Return the claim that was written down."""
        found = self._forwarder.store.facts(entry.stem).get(NOTE)
        try:
            return holding.decode(found) if isinstance(found, dict) else None
        except (KeyError, TypeError, ValueError):
            return None

    def look(self, entry: Entry, header: Header, link: Link) -> tuple[Claim, Found]:
        """Return what the box holds. Raises `DatasetError` for what cannot be read, and what reading a file raises."""
        found = self._read(entry, header.transfer_syntax)
        return self.kept(entry) or holding.arrived(found.came, link.creating_entity, header.time_ns, self.inside(link.modality)), found

    def _read(self, entry: Entry, transfer_syntax: str) -> Found:
        """Read the whole data set, changing nothing."""
        came: list[Values] = []

        def rule(values: Values) -> Values:
            came.append(values)
            return values

        sha256 = self._walk(entry, transfer_syntax, rule)
        return Found(came[0] if came else {}, sha256)

    def _walk(self, entry: Entry, transfer_syntax: str, rule: Rule) -> str:
        """Make the edit once for nothing; return the digest of what came. What forbids it (a signature, at the end) is then known while
        nothing has left. Raises `DatasetError`."""
        encoding = encoding_of(transfer_syntax)
        if encoding is None:
            raise DatasetError(Code.STATUS_TRANSFER_SYNTAX, f"transfer syntax {transfer_syntax[:64]}")
        edit = DatasetEdit(encoding, rule)
        reader = self._forwarder.store.read(entry)
        try:
            before = b""
            for data in reader.chunks():
                if before:
                    edit.feed(memoryview(before), False)
                before = data
            edit.feed(memoryview(before), True)
            assert reader.trailer is not None
            return reader.trailer.sha256
        finally:
            reader.close()

    # --- how it leaves

    def inside(self, peer: Party) -> bool:
        """Is the leg to `peer` inside the profile? Its configuration was checked: TLS, both sides, a certificate that is bound to it."""
        return peer.sop_instance_status is Conformance.CONFORMS and peer.transport is Transport.TLS

    def prepare(self, entry: Entry, header: Header, link: Link, peer: Party) -> Passing | Aside | None:
        """Say how an instance leaves: edited by what is returned, as it came (None), or not now. Raises what reading a file raises."""
        if not self.governs(link):
            return None
        try:
            claim, found = self.look(entry, header, link)
            if claim.state in holding.RECEIVED:
                self._note(entry, claim)
                self._remember(entry, header)
                return Aside(Code.ORIGINAL_WAITS, UNCONFIRMED, {})
            if claim.state is State.OR and link.originals_wait:
                return Aside(Code.ORIGINAL_WAITS, WAITS, {})
            way = holding.leaving(claim, self.inside(peer))
            wanted = holding.values(found.came, way.status, claim, link.equipment_certification)
            if wanted == found.came:
                return None
            self._walk(entry, header.transfer_syntax, lambda _came: wanted)
        except DatasetError as error:
            return Aside(error.code, "SOP Instance Status cannot be set", {"detail": str(error)[:200]})
        except NotPermitted as error:
            return Aside(Code.ORIGINAL_STAYS, "not permitted", {"detail": str(error)[:200]})
        encoding = encoding_of(header.transfer_syntax)
        assert encoding is not None
        return Passing(DatasetEdit(encoding, lambda _came: wanted), header.sop_instance)

    # --- what becomes of it

    def delivered(self, entry: Entry, link: Link, peer: Party, done: Callable[[bool], None]) -> None:
        """The other entity answered a C-STORE. `done(True)`: it was a transfer, and the box holds the original until it is committed."""
        kept = self.kept(entry)
        if kept is not None and kept.state in PENDING:  # noted before a restart
            done(True)
            return
        try:
            header = self._header(entry)
            claim, found = self.look(entry, header, link)
            way = holding.leaving(claim, self.inside(peer))
        except (DatasetError, NotPermitted, Damaged, OSError):
            done(False)
            return
        if way.state is claim.state:
            done(False)
            return
        now = claim._replace(state=way.state)
        self._change(entry, header, claim, now, "transferred", way.rule, done, digest=found.sha256, peer=peer.name)

    def resolved(self, entry: Entry, committed: bool, peer: str, transaction: str, done: Callable[[Claim | None], None]) -> None:
        """The transfer of an original was committed, or not: `done` gets what it is now; None: it was no original on its way."""
        claim = self.kept(entry)
        if claim is None or claim.state not in PENDING:
            done(None)
            return
        try:
            header = self._header(entry)
        except (Damaged, OSError) as error:
            self.gate.event(Code.HOLD_NOT_OPENED if is_passing(error) else Code.HOLD_DAMAGED, file=entry.name, detail=error)
            if not committed or isinstance(error, FileNotFoundError):
                done(None)
            else:  # what became of the original must be recorded before it goes, and its head says whose it was
                again = partial(self.resolved, entry, committed, peer, transaction, done)
                self._forwarder.loop.at(AGAIN_SECONDS if is_passing(error) else DAMAGED_SECONDS, again)
            return
        route = self._forwarder.route(header.link, peer)
        after = After(route[1].after_transfer) if route is not None else After.NS
        now = holding.committed(claim, after) if committed else holding.not_committed(claim)

        def changed(_good: bool) -> None:
            if committed:
                told = {"instance": header.sop_instance, "now": now.state.name}
                self.gate.event(Code.ORIGINAL_TRANSFERRED, link=header.link, peer_name=peer, **told)
            done(now)

        what = "committed" if committed else "not committed"
        self._change(entry, header, claim, now, what, "A.1.1 d", changed, peer=peer, transaction=transaction)

    def _header(self, entry: Entry) -> Header:
        reader = self._forwarder.store.read(entry)
        reader.close()
        return reader.header

    # --- the receiver of a transfer (rule d)

    def commits(self, link: str, peer: str, sop_class: str, uid: str, number: int) -> bool:
        """Does the box itself commit this instance? It has it durably, it is an original of its sender's, and came before `number`."""
        found = self._received.get((link, peer, uid), ())
        return any(header.sop_class == sop_class and entry.number < number for entry, header in found)

    def confirmed(self, link: str, peer: str, uid: str, number: int) -> None:
        """Its sender has heard that it is committed: the box is the holder, and may send it on."""
        key = (link, peer, uid)
        mine = [(entry, header) for entry, header in self._received.get(key, ()) if entry.number < number]
        self._received[key] = [each for each in self._received.get(key, ()) if each not in mine]
        if not self._received[key]:
            del self._received[key]
        for entry, header in mine:
            claim = self.kept(entry)
            if claim is not None and claim.state in holding.RECEIVED:
                back = partial(self._back, entry)
                self._change(entry, header, claim, holding.taken_over(claim), "taken over", "A.1.1 d", back, peer="modality")

    def _back(self, entry: Entry, _good: bool) -> None:
        self._forwarder.put_back([entry])

    def may_remove(self, entry: Entry) -> str:
        """Return why the box must not delete an instance; empty when it may."""
        claim = self.kept(entry)
        if claim is None:
            claim = self._unwritten(entry)
        try:
            if claim is not None:
                holding.removable(claim)
        except NotPermitted as error:
            return str(error)
        return ""

    def _unwritten(self, entry: Entry) -> Claim | None:
        try:
            header = self._header(entry)
            route = self._forwarder.route(header.link, header.peer)
            return self.look(entry, header, route[0])[0] if route is not None and self.governs(route[0]) else None
        except (DatasetError, Damaged, OSError):
            return None

    def authorize(
        self, entry: Entry, header: Header, claim: Claim, after: Claim, fields: dict[str, str], done: Callable[[bool], None]
    ) -> None:
        """Write down that a person has authorized it. `done(False)`: it could not be recorded, and is not."""
        self._change(entry, header, claim, after, "authorized", "A.1.1 b", done, again=False, **fields)

    def _change(
        self,
        entry: Entry,
        header: Header,
        before: Claim,
        after: Claim,
        what: str,
        rule: str,
        done: Callable[[bool], None],
        again: bool = True,
        **fields: str,
    ) -> None:
        """Write the record of a change, then the new claim, then `done`. `again`: what cannot be recorded is tried again."""
        record = event.status_record(
            *self.gate.clock.now(),
            {
                **dict.fromkeys(event.STATUS_FIELDS, ""), "box": self.gate.config.box.name, "link": header.link,
                "sop_class": header.sop_class, "sop_instance": header.sop_instance, "event": what, "before": before.state.name,
                "after": after.state.name, "rule": rule, "by": after.by if what == "authorized" else "", **fields,
            },
        )  # fmt: skip

        def answered(status: Status, _index: int) -> None:
            if status is Status.OK:
                self._note(entry, after)
                sync()
                return
            self.gate.event(Code.RECORD_FAILED, link=header.link, instance=header.sop_instance, holder="hold")
            if again:
                self._forwarder.loop.at(AGAIN_SECONDS, submit)
            else:
                done(False)

        def sync() -> None:
            self._forwarder.syncer.sync(synced)

        def synced(error: Exception | None) -> None:
            if error is None:
                done(True)
                return
            self.gate.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)
            self._forwarder.loop.at(AGAIN_SECONDS, sync)

        def submit() -> None:
            self.gate.custodian.submit(Op.EVENT, os.urandom(16), 0, record, answered)

        submit()

    def _note(self, entry: Entry, claim: Claim) -> None:
        try:
            self._forwarder.store.note(entry, **{NOTE: claim.encode()})
        except OSError as error:
            self.gate.event(Code.HOLD_ACK_FAILED, file=entry.name, detail=error)


def now_text() -> str:
    """Return the time of a statement."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
