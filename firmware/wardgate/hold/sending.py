"""One association of the forwarder: as Storage SCU it sends what a lane holds, in order, and sees to what becomes of each answer.

C-STORE-RSP taken   -> note `answered` (durable) -> custody record (durable) -> remove, or keep until it is committed
refused for good    -> custody record, quarantine
could pass later    -> custody record, release, pause of the destination
no answer           -> pause of the destination; the instance is sent again
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.record import Flow as SentBy
from wardgate.custody.record import Outcome
from wardgate.dimse.build import with_message_id
from wardgate.dimse.command import CommandError, CommandField, parse
from wardgate.hold.calling import Calling
from wardgate.hold.files import is_passing
from wardgate.hold.fragments import COMMAND, fragments
from wardgate.hold.memory import answers
from wardgate.hold.originals import Aside
from wardgate.hold.outcome import Meaning, meaning
from wardgate.hold.seal import Damaged
from wardgate.hold.wrap import WrapError
from wardgate.policy.model import Direction
from wardgate.relay.hasher import Digest
from wardgate.relay.legstate import Pause
from wardgate.relay.phase import Phase
from wardgate.relay.stores import Store
from wardgate.upperlayer.items import PresentationContextRQ
from wardgate.upperlayer.pdu import AssociateAC

if TYPE_CHECKING:
    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.queue import Item, Lane
    from wardgate.hold.store import Reader
    from wardgate.policy.model import Link, Party
    from wardgate.upperlayer.walker import Sink

MAX_CONTEXTS: Final = 127
LOOK_AHEAD: Final = 2048  # instances whose contexts are proposed
TURN_BYTES: Final = 1 << 20  # sent before others have their turn
_STORE_RSP: Final = int(CommandField.C_STORE_RSP)


class Outgoing:
    """The instance that is being sent."""

    __slots__ = ("_odd", "ahead", "chunks", "context", "item", "reader", "store")

    def __init__(self, item: Item, reader: Reader, context: int, store: Store) -> None:
        self.item = item
        self.reader = reader
        self.context = context
        self.store = store
        self.chunks: Iterator[bytes] = reader.chunks()
        self.ahead: bytes | None = None  # verified and not sent: the last one leaves only when the file is known to be whole
        self._odd = b""  # a byte that would make a fragment odd

    def edited(self, data: bytes, last: bool) -> bytes:
        """Return what leaves of the next bytes: on a link whose box is a holder, with the status that it is to carry."""
        passing = self.store.passing
        if passing is None:
            return data
        body = b"".join((self._odd, *passing.feed(memoryview(data), last)))
        passing.whole = last
        even = len(body) if last else len(body) & ~1
        self._odd = body[even:]
        return body[:even]


class Sending(Calling):
    """Sends what a lane holds."""

    def __init__(self, forwarder: Forwarder, lane: Lane, link: Link, peer: Party) -> None:
        super().__init__(forwarder.gate, link, peer, lane.pair.calling, lane.pair.called, Direction.TO_HOSPITAL)
        self.forwarder = forwarder
        self.lane = lane
        self.delivered = 0
        self.stopping = False
        self._contexts: dict[tuple[str, str], int] = {}  # proposed
        self._out: Outgoing | None = None
        self._messages = 0
        self._full = False
        self._fetching = False  # the token is asked for a key

    # --- life

    def begin(self) -> None:
        """Connect."""
        self.lane.busy = True
        self.lane.destination.running += 1
        super().begin()

    def stop(self) -> None:
        """Send nothing more; release when the answer of what is being sent has come."""
        self.stopping = True
        if self.phase is Phase.ESTABLISHED:
            self._next()
        elif self.phase not in (Phase.RELEASING, Phase.ENDING):
            self._over("stopped", failed=False)

    def contexts(self) -> tuple[PresentationContextRQ, ...]:
        """Propose one context for each pair of abstract and transfer syntax that waits."""
        for item in self.lane.ahead(LOOK_AHEAD):
            key = (item.abstract_syntax, item.transfer_syntax)
            if key not in self._contexts and len(self._contexts) < MAX_CONTEXTS:
                self._contexts[key] = 2 * len(self._contexts) + 1
        return tuple(PresentationContextRQ.of(context, *key) for key, context in self._contexts.items())

    def established(self, ac: AssociateAC) -> None:
        """Remember what the destination accepted, and begin."""
        assert self._request is not None
        self.forwarder.teach(self.lane.pair, answers(self._request, ac))
        self._next()

    @property
    def busy(self) -> bool:
        """Is an instance under way?"""
        return self._out is not None

    # --- one instance after the other

    def _next(self) -> None:
        """Send the head of the lane, or release."""
        while not self._ended and self._out is None and not self._fetching and self.phase is Phase.ESTABLISHED:
            item = self.lane.head()
            if item is None or self.stopping or self.forwarder.unwritten or self.forwarder.confirming.before(self.lane.pair, item.number):
                self._release()
                return
            context = self._contexts.get((item.abstract_syntax, item.transfer_syntax))
            if context is None:  # came later, or one too many: another association proposes it
                self._release()
                return
            if not self._ledger.room(self._pending):
                self._release()
                return
            if self._accepted.get(context, ("", ""))[1] != item.transfer_syntax:
                result = self._refused.get(context, 2)
                self._aside(item, None, "context not accepted", {"result": result})
                continue
            self._start(item, context)

    def _start(self, item: Item, context: int) -> None:
        try:
            reader = self.forwarder.store.read(item.entry)
        except FileNotFoundError:
            self.forwarder.queue.remove(self.lane, item)
            return
        except (Damaged, OSError) as error:
            self._not_read(item, error)
            return
        header = reader.header
        if not self.forwarder.store.wrapper.ready(header.key_name):
            reader.close()
            self._fetch(header.key_name)
            return
        self._messages = self._messages % 0xFFFF + 1
        try:
            command = with_message_id(bytes.fromhex(header.command), self._messages)
            store = Store(parse(command), context, header.transfer_syntax, Digest(self.gate.buffers))
        except (ValueError, CommandError) as error:
            reader.close()
            self._damaged(item, error)
            return
        out: Outgoing | None = None
        try:
            prepared = self.forwarder.originals.prepare(item.entry, header, self.link, self.party)
            if not isinstance(prepared, Aside):
                store.passing = prepared
                out = Outgoing(item, reader, context, store)
                out.ahead = next(out.chunks, b"")
        except (Damaged, OSError) as error:  # before a byte of it was sent
            reader.close()
            self._not_read(item, error)
            return
        except WrapError as error:
            reader.close()
            self._fail(Code.HOLD_KEY, detail=error)
            return
        if isinstance(prepared, Aside):
            reader.close()
            self._set_aside(prepared.code, item, prepared.reason, prepared.fields)
            return
        assert self.leg is not None
        self._out = out
        self.deadline = self.gate.loop.now + self.gate.limits.idle_seconds
        self.leg.send(fragments(context, COMMAND, command, self._fragment))
        self._pump()

    def _fetch(self, key_name: str) -> None:
        """Have the token give the key back, beside the loop; then go on."""
        self._fetching = True

        def fetched(_nothing: None, error: Exception | None) -> None:
            self._fetching = False
            if self._ended:
                return
            if error is not None:
                self._fail(getattr(error, "code", Code.HOLD_KEY), detail=error)
            else:
                self._next()

        self.gate.pool.submit(lambda: self.forwarder.store.wrapper.fetch(key_name), fetched)

    def _pump(self) -> None:
        """Send of the data set what the socket takes."""
        out, leg = self._out, self.leg
        sent = 0
        while out is not None and out is self._out and out.ahead is not None and not self._full and not self._ended:
            assert leg is not None
            if sent >= TURN_BYTES:
                self.gate.loop.soon(self._pump)
                return
            try:
                following = next(out.chunks, None)
            except (Damaged, WrapError, OSError) as error:
                self._damaged_while_sending(out, error)
                return
            data, out.ahead = out.ahead, following
            out.store.digest.update(memoryview(data))
            out.store.length += len(data)
            if following is None:
                out.store.whole = True
                trailer = out.reader.trailer
                if trailer is None or trailer.sha256 != out.store.digest.hexdigest():
                    self._damaged_while_sending(out, Damaged("the data set has not the digest that it came with"))
                    return
                out.reader.close()
            sent += len(data)
            leaves = out.edited(data, following is None)
            if leaves or following is None:
                leg.send(fragments(out.context, 0, leaves, self._fragment, last=following is None))

    def pause(self, why: Pause) -> None:
        """The leg has bytes waiting."""
        self._full = True

    def resume(self, why: Pause) -> None:
        """The leg takes bytes again."""
        self._full = False
        self._pump()

    def command(self, context: int, command: bytearray) -> Sink | None:
        """A whole command set of the destination came."""
        parsed = parse(command)
        assert self.leg is not None and self.leg.walker is not None
        self.leg.walker.expects_data = parsed.has_data_set
        out = self._out
        if parsed.command_field != _STORE_RSP or out is None or parsed.message_id_responded != out.store.message:
            return None
        if not out.store.whole:  # answered early: the rest need not be sent, but a message cannot be cut either
            self._early(out, parsed.status)
            return None
        self._out = None
        self._conclude(out, parsed.status)
        self._next()
        return None

    def _conclude(self, out: Outgoing, status: int) -> None:
        item = out.item
        what = meaning(status)
        if what is Meaning.TAKEN:
            self._taken(out, status)
            return
        self.lane.destination.last_code = f"{status:04X}"
        item.attempts += 1
        if what is Meaning.NEVER or item.attempts >= self.forwarder.hold.attempts:
            self._aside(item, out.store, "refused" if what is Meaning.NEVER else "refused too often", {"status": f"{status:04X}"}, status)
            return
        self._ledger.store(out.store, status, Outcome.STATUS, SentBy.ACCEPTOR, _nobody_waits)
        self._failed = True
        self.gate.event(Code.HOLD_RETRY, self.titles, link=self.link.name, peer_name=self.party.name, status=f"{status:04X}")
        self._release()

    def _taken(self, out: Outgoing, status: int) -> None:
        """Write it down before anything else: whatever happens from here on, it is not sent a second time.

        A disk that does not take that: this process knows it, records it, and sends nothing more until the disk has it.
        """
        forwarder, item = self.forwarder, out.item
        entry, error = forwarder.store.answered(item.entry, status)
        if error is not None:
            forwarder.not_written(entry, error)
        forwarder.queue.remove(self.lane, item)
        self.delivered += 1
        self.lane.destination.delivered += 1
        self.lane.destination.pauses.worked()
        self.lane.destination.last_code = ""
        forwarder.recording(entry)
        self._pending += 1

        def recorded(durable: bool) -> None:
            if durable:
                forwarder.kept.delivered(entry, self.lane.pair, out.store.sop_class, out.store.instance)
            else:
                forwarder.unrecorded(entry)
            self._settled()

        def synced(error: Exception | None) -> None:
            if error is not None:
                forwarder.not_written(entry, error)
            self._ledger.store(out.store, status, Outcome.STATUS, SentBy.ACCEPTOR, recorded)

        forwarder.syncer.sync(synced)

    def _aside(self, item: Item, store: Store | None, reason: str, fields: dict[str, object], status: int | None = None) -> None:
        """Put an instance into quarantine; the next one has its turn."""
        if store is not None:
            self._ledger.store(store, status, Outcome.STATUS, SentBy.ACCEPTOR, _nobody_waits)
        self._set_aside(Code.HOLD_QUARANTINED, item, reason, fields)

    def _not_read(self, item: Item, error: Exception) -> None:
        """Nothing of it was sent: what only this process lacks now is no fault of the instance."""
        if is_passing(error):
            self._fail(Code.HOLD_NOT_OPENED, file=item.entry.name, detail=error)
        else:
            self._damaged(item, error)

    def _damaged(self, item: Item, error: Exception) -> None:
        self._set_aside(Code.HOLD_DAMAGED, item, "damaged", {"detail": str(error)[:200]})

    def _set_aside(self, code: Code, item: Item, reason: str, fields: dict[str, object]) -> None:
        forwarder = self.forwarder
        self.gate.event(code, self.titles, link=self.link.name, peer_name=self.party.name, file=item.entry.name, reason=reason, **fields)
        forwarder.queue.remove(self.lane, item)
        self._pending += 1
        forwarder.set_aside(item.entry, {"code": str(code), "reason": reason, **fields}, self._settled)

    def _damaged_while_sending(self, out: Outgoing, error: Exception) -> None:
        """A part of it has left: only an A-ABORT can take that back."""
        if isinstance(error, Damaged):
            self._out = None
            out.reader.close()
            self._record_cut(out)
            self._damaged(out.item, error)
            self._abort()
            self._over(str(Code.HOLD_DAMAGED), failed=False)
        else:
            self._fail(getattr(error, "code", Code.HOLD_WRITE_FAILED), detail=error)

    def _early(self, out: Outgoing, status: int) -> None:
        """The destination answered before the data set was whole: it takes nothing more of it."""
        self._out = None
        out.reader.close()
        if meaning(status) is Meaning.TAKEN:  # of half a data set: not to be believed
            self._record_cut(out)
            self._abort()
            self._fail(Code.UNEXPECTED_PDU, detail="success before the data set was whole")
            return
        self._conclude(out, status)
        self._abort()
        self._over(str(Code.HOLD_RETRY), failed=self._failed)

    def _record_cut(self, out: Outgoing) -> None:
        outcome = Outcome.UNKNOWN if out.store.whole else Outcome.ABORTED
        self._ledger.store(out.store, None, outcome, SentBy.ACCEPTOR, _nobody_waits)

    # --- the end

    def failing(self, code: Code) -> None:
        """The destination pauses."""
        self.lane.destination.last_code = str(code)

    def cut(self) -> None:
        """What is under way is not answered any more."""
        out, self._out = self._out, None
        if out is None:
            return
        out.reader.close()
        self._record_cut(out)
        out.item.attempts += 1
        if out.item.attempts >= self.forwarder.hold.attempts:  # whoever ends the association each time: let the others pass
            self._set_aside(Code.HOLD_QUARANTINED, out.item, "no answer, too often", {})

    def finished(self) -> None:
        """Let the lane go."""
        self.lane.busy = False
        self.lane.destination.running -= 1
        self.forwarder.ended(self, self._failed)


def _nobody_waits(_durable: bool) -> None:
    """A record that nothing waits for."""
