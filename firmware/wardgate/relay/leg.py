"""One side of a relayed association: a socket, its channel, what waits to be sent, and whether we read from it.

Memory stays flat: while bytes wait to be sent on a leg, nothing is read from the other one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.relay import unsent
from wardgate.relay.hasher import READ_BYTES, Buffers
from wardgate.relay.legstate import Owner, Pause, Side, Source, State, error_name
from wardgate.relay.loop import GONE, IN, OUT, Loop
from wardgate.relay.nobody import NOBODY
from wardgate.relay.parting import Parting, takes_leave

if TYPE_CHECKING:
    from wardgate.relay.threads import Pool
    from wardgate.transport.channel import Channel
    from wardgate.transport.iscl import IsclChannel
    from wardgate.upperlayer.walker import Walker

_TCP: Final = socket.IPPROTO_TCP
_QUICKACK: Final = socket.TCP_QUICKACK
_RECV_WHILE_SHAKING: Final = 65536
_SHORT: Final = 65535  # bytes: what is longer has more behind it, mostly, and is acknowledged before it is looked at
_NOWHERE: Final = memoryview(bytearray())
_CLOSED: Final = State.CLOSED  # looked up once: members of an Enum are slow to reach, and these are asked for every read
_HANDSHAKE: Final = State.HANDSHAKE
_CONNECTING: Final = State.CONNECTING
_PARTING: Final = State.PARTING
_LAST_READS: Final = 8
_WHOLE: Final = -1  # no error of the connection
_SPACE: Final = Pause.SPACE.value


class Leg:
    """A socket with its channel (`None`: plain). Every call is on the loop's thread."""

    __slots__ = (
        "_buffers",
        "_events",
        "_failed",
        "_held",
        "_loop",
        "_parting",
        "_pause",
        "_turns",
        "_waiting",
        "address",
        "answers_itself",
        "carry",
        "channel",
        "drained",
        "fed",
        "listens",
        "other",
        "owner",
        "received",
        "side",
        "sock",
        "state",
        "truncated",
        "waits",
        "walker",
    )  # fmt: skip

    def __init__(self, loop: Loop, buffers: Buffers, sock: socket.socket, side: Side, owner: Owner, address: str) -> None:
        self._loop = loop
        self._buffers = buffers
        self.sock = sock
        self.side = side
        self.owner = owner
        self.address = address  # "host:port" of the peer
        self.channel: Channel | None = None
        self.other: Source | None = None  # the other leg, mostly
        self.walker: Walker | None = None
        self.carry = b""
        self.state = State.OPEN
        self.received = 0
        self.fed = False
        self.drained = False  # something that had to wait has left; set back by who asks
        self._pause = 0
        self._turns: IsclChannel | None = None  # a channel whose peer has to answer before we may speak: it is read also while we pause
        self._waiting: unsent.Unsent = []  # one read of the other leg at most, in pieces
        self._held = b""
        self._failed = _WHOLE
        self._parting: Parting | None = None
        self.answers_itself = False  # the box does, and reads nothing while it is about to: then the answer acknowledges too
        self.truncated = False  # the connection ended without TLS close_notify
        self._events = 0
        self.listens = False  # the peer has nothing to say until we answer: then the answer acknowledges what it said
        self.waits = False  # the same after what it said last, a whole message: set by the flow

    def watch(self, state: State) -> None:
        """Begin: wait for the connection, or for bytes."""
        self.state = state
        self._events = OUT if state is _CONNECTING else self._wanted()
        self._loop.register(self.sock.fileno(), self.ready, self._events)

    def pause(self, why: Pause) -> None:
        """Stop reading for `why`. `epoll` hears of it only when something does come: mostly nothing does before `resume`."""
        if self._turns is not None and not self._pause:
            self._turns.hold(True)
        self._pause |= why._value_  # plain numbers: this runs for every response, and flags of `enum` are slow

    def resume(self, why: Pause) -> None:
        """`why` is over; reading goes on when no other reason is left."""
        if self._pause & why._value_:
            self._pause &= ~why._value_
            if not self._pause:
                self._resumed()

    def _resumed(self) -> None:
        if not self._events & IN:
            self._update()
        if self._turns is not None or (self.channel is not None and self.channel.ended):
            self._loop.soon(self.go_on)

    def space_answered(self) -> None:
        """Give the walker again what it did not take for want of log space; it may have to wait for more. Not from inside a feed."""
        if self._pause & _SPACE and self.state is State.OPEN:
            self._pause &= ~_SPACE
            kept = len(self.carry)
            plain = self._buffers.plain
            plain[:kept] = self.carry
            self.feed(plain[:kept])
            if not self._pause:
                self._resumed()

    @property
    def full(self) -> bool:
        """Do bytes wait to be sent?"""
        return bool(self._waiting)

    @property
    def ended_early_code(self) -> Code:
        """What it is called when the peer ends while it shakes hands, or before it is its turn to."""
        return self.channel.ended_early_code if self.channel is not None else Code.TLS_ENDED_IN_HANDSHAKE

    def acknowledge(self) -> None:
        """Acknowledge what was read (not sticky): a peer with Nagle on that has more to say must not wait 40 ms for it."""
        try:
            self.sock.setsockopt(_TCP, _QUICKACK, 1)
        except OSError:
            pass  # closed, or reset: the next read tells

    def ready(self, events: int) -> None:
        """Handle `epoll` events. A defect of ours ends this association and no other."""
        try:
            if self.state is _CONNECTING:
                self._connect_result(events)
                return
            if self._parting is not None:
                if self.state is _PARTING:
                    self._parting.ready(events)
                return
            if events & OUT and self._waiting:
                self._drain()
            if events & IN:
                if not self._pause or self._turns is not None:
                    self._read()
                else:
                    self._update()
            elif events & GONE and self.state is not _CLOSED:
                self._fail(OSError(0, ""))  # the last read tells what it was
        except Exception as failure:
            self.owner.broken(self, failure)

    def send(self, data: bytes | memoryview) -> None:
        """Send `data` through the channel; what the socket does not take now waits, and the other leg is paused."""
        if self.channel is None:
            self.send_wire(data)
        elif self.state is not _CLOSED and self.state is not _PARTING:
            try:
                wire = self.channel.seal(data)
            except Exception as failure:
                error = failure
                self._loop.soon(lambda: self.owner.broken(self, error))
                return
            if wire:
                self.send_wire(wire)
            if self.channel.busy and self.other is not None:
                self.other.pause(Pause.OTHER_FULL)

    def attach(self, pool: Pool) -> None:
        """The handshake is done: what the channel itself has to do goes to `pool` from now on."""
        if self.channel is None or not self.channel.talks:
            return
        from wardgate.transport.iscl import IsclChannel

        if isinstance(self.channel, IsclChannel):
            self._turns = self.channel
            self.channel.hold(bool(self._pause))
            self.channel.attach(pool.submit, self._channel_moved)
            self._flush_channel()

    def tick(self) -> None:
        """Judge the channel's own deadlines."""
        if self.state is State.OPEN and self.channel is not None:
            try:
                self.channel.tick()
            except Exception as error:
                self.owner.broken(self, error)

    def _channel_moved(self, error: Exception | None) -> None:
        """Something that the channel waited for is done."""
        if self.state is _PARTING and self._parting is not None:
            self._parting.talk_on()
        elif self.state is State.OPEN:
            if error is not None:
                self._broken(error)
            else:
                self._flush_channel()

    def _flush_channel(self) -> None:
        """Send what the channel itself has to say; let the other leg read again when everything said is on its way."""
        assert self.channel is not None
        wire = self.channel.to_send()
        if wire:
            self.send_wire(wire)
        if not self.channel.busy and not self._waiting and self.other is not None:
            self.other.resume(Pause.OTHER_FULL)

    def go_on(self) -> None:
        """Nothing is to be waited for any more: what the channel has ready, or that it ended, then what its peer wants to say."""
        try:
            if self.state is State.OPEN and self.channel is not None:
                self._deliver()
                if self._turns is not None and not self._pause and self.state is State.OPEN:
                    self._turns.hold(False)
                    self._flush_channel()
        except Exception as error:
            self._broken(error)

    def _deliver(self) -> None:
        """Feed what the channel has ready, as long as nobody pauses us."""
        while self.state is State.OPEN and not self._pause and self.channel is not None and self.channel.pending:
            kept = len(self.carry)
            plain = self._buffers.plain
            plain[:kept] = self.carry
            size = self.channel.open(b"", plain[kept:])
            if size:
                self.feed(plain[: kept + size])
        if self.state is State.OPEN and not self._pause and self.channel is not None and self.channel.ended:
            self.owner.lost(self, "closed by peer")

    def _broken(self, error: Exception) -> None:
        """The channel failed. A NAK of its own still goes out; after an integrity failure there is none."""
        assert self.channel is not None
        last = getattr(error, "to_send", b"") if self.channel.talks else b""
        if last:
            self.send_wire(last)
        self.owner.broken(self, error)

    def hold_wire(self, wire: bytes) -> None:
        """Send `wire` in one packet with what comes next, or at `send_held`: a TLS Finished goes well with the first PDU."""
        self._held += wire

    def send_held(self) -> None:
        """Send what `hold_wire` kept, if it has not gone yet."""
        if self._held:
            self.send_wire(b"")

    def send_wire(self, wire: bytes | bytearray | memoryview | list[bytes], flags: int = 0) -> None:
        """Send bytes as they are on the wire; `flags` of send(2)."""
        state = self.state
        if state is _CLOSED or state is _PARTING:
            return
        if self._held:
            wire = b"".join((self._held, *wire)) if isinstance(wire, list) else self._held + wire
            self._held = b""
        if self._waiting:
            unsent.keep(self._waiting, wire, 0)
            return
        try:
            if wire.__class__ is list:
                sent, size = self.sock.sendmsg(wire), sum(map(len, wire))
            else:
                sent, size = self.sock.send(wire, flags), len(wire)  # type: ignore[arg-type]
        except BlockingIOError:
            sent, size = 0, 1
        except OSError as error:
            self._fail(error)
            return
        if sent < size:
            unsent.keep(self._waiting, wire, sent)
            if self.other is not None:
                self.other.pause(Pause.OTHER_FULL)
            self._update()

    def close(self) -> None:
        """Close now. Bytes that wait are dropped."""
        if self.state is not _CLOSED:
            self.state = State.CLOSED
            self._waiting.clear()
            self.carry = b""
            if self._parting is not None:
                self._parting.forget()
            if self.channel is not None:
                self.channel.dispose()
            self._loop.discard(self.sock)

    def let_go(self) -> bool:
        """Hold nothing of an association that is over; false while the leg still has to close."""
        if self.state is not _CLOSED:
            return False
        self.owner = NOBODY
        self.other = self.walker = self.channel = self._turns = self._parting = None
        return True

    def finish(self, close_notify: bool) -> None:
        """Close when everything is sent, with TLS close_notify when `close_notify`."""
        if self.state in (_CLOSED, _PARTING):
            return
        flags = 0 if takes_leave(self.channel) else socket.MSG_MORE  # in one packet with the end of the connection
        said = self._say_goodbye(close_notify, flags)
        if self._waiting or (close_notify and takes_leave(self.channel)):
            self._part()
        else:
            if said:
                try:
                    self.sock.shutdown(socket.SHUT_WR)  # `close` alone would throw it away when there is something that we did not read
                except OSError:
                    pass  # nobody is there any more
            self.close()

    def part(self) -> None:
        """End after an A-ABORT or A-ASSOCIATE-RJ, which the peer must not lose."""
        if self.state not in (_CLOSED, _PARTING):
            self._say_goodbye(True)
            self._part()

    def _say_goodbye(self, close_notify: bool, flags: int = 0) -> bool:
        """Take leave on the channel; return whether there was something to say."""
        wire = self.channel.close() if close_notify and self.channel is not None else b""
        if wire:
            self.send_wire(wire, flags)
        return bool(wire)

    def _part(self) -> None:
        if self.state not in (State.OPEN, _HANDSHAKE):
            self.close()
            return
        self.state = _PARTING
        self.carry = b""
        self._parting = Parting(self._loop, self._buffers, self.sock, self.channel, self._waiting, self.close)

    def _connect_result(self, events: int) -> None:
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if events & GONE else 0
        if error:
            self.owner.lost(self, error_name(error))
        elif events & OUT:
            self.state = State.OPEN
            self._update()
            self.owner.connected(self)

    def _read(self) -> bool:
        """Read once; return whether something came."""
        if self.state is _HANDSHAKE:
            self._read_handshake()
            return False
        buffers = self._buffers
        plain = buffers.plain
        kept = len(self.carry)
        if kept:
            plain[:kept] = self.carry
        try:
            if self.channel is None:
                size = self.sock.recv_into(plain[kept:] if kept else plain, READ_BYTES)
            else:
                size = self.sock.recv_into(buffers.wire)
            listens = self.listens
            later = listens or size <= _SHORT or self.answers_itself  # when it is seen whether the peer can have more to say
            if not later or self._turns is not None:
                self.sock.setsockopt(_TCP, _QUICKACK, 1)  # as in `acknowledge`
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(error)
            return False
        if not size:
            self._end_came()
            return False
        self.received += size
        if self._turns is not None:
            self._read_turns(buffers.wire[:size])
            return True
        if self.channel is not None:
            try:
                size = self.channel.open(buffers.wire[:size], plain[kept:])
            except Exception as error:
                self._broken(error)
                return False
            if not size:
                if self.channel.ended:
                    self.owner.lost(self, "closed by peer")
                elif later:
                    self.acknowledge()  # a part of a record
                return True
        self.feed(plain[: kept + size])
        if self.channel is not None and self.channel.ended:  # close_notify came right behind the data, and nothing else will
            self._deliver()
            return False
        answers = listens or self.listens or self.waits or (self.answers_itself and self._pause)
        if later and self.state is State.OPEN and (not answers or self._in_pdu):
            self.acknowledge()
        return True

    def _end_came(self) -> None:
        """The peer has closed. What it said before it took its leave counts, but may have to wait."""
        if self.channel is not None and self.channel.left:
            self._turns = None  # nothing is to be answered any more
            self._deliver()
            self._update()
        else:
            self.truncated = self.channel is not None
            self.owner.lost(self, "closed by peer")

    @property
    def _in_pdu(self) -> bool:
        """Is a PDU that is not P-DATA-TF not whole yet?"""
        return bool(self.carry) or (self.walker is not None and self.walker.collecting)

    def _read_turns(self, wire: memoryview) -> None:
        """Take wire bytes of a channel with turns, whether or not anybody takes its data now."""
        assert self._turns is not None
        try:
            self._turns.open(wire, _NOWHERE)
            self._flush_channel()
        except Exception as error:
            self._broken(error)
            return
        self._deliver()

    def feed(self, data: memoryview) -> None:
        """Give `data` to the walker and keep what it did not take."""
        assert self.walker is not None
        self.fed = True
        try:
            used = self.walker.feed(data)
        except Exception as error:
            self._buffers.settle()  # data sets in front of the mistake are whole and have records to come
            self.owner.broken(self, error)
            return
        self.carry = bytes(data[used:]) if used < len(data) else b""
        self._buffers.after_feed()

    def _read_handshake(self) -> None:
        try:
            data = self.sock.recv(_RECV_WHILE_SHAKING)  # acknowledged by what the handshake answers, or when that is nothing
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if data:
            self.received += len(data)
            self.owner.handshake_bytes(self, data)
        else:
            self.owner.lost(self, "closed by peer")

    def _drain(self) -> None:
        self.drained = True
        try:
            unsent.send(self._waiting, self.sock)
        except OSError as error:
            self._fail(error)
            return
        if self._waiting:
            return
        self._update()
        if self.other is not None and (self.channel is None or not self.channel.busy):
            self.other.resume(Pause.OTHER_FULL)

    def _fail(self, error: OSError) -> None:
        # Not from inside a feed: whoever is below us on the stack is not done with this association yet.
        before, self._failed = self._failed, error.errno or 0
        if before == _WHOLE:
            self._loop.soon(self._last_words)

    def _last_words(self) -> None:
        """A reset does not take back what the peer said before it: an A-ABORT may wait to be read."""
        for _ in range(_LAST_READS):
            # What waits for log space is not behind it: it goes with the association.
            if self.state is not State.OPEN or self.walker is None or self._pause & _SPACE or not self._read():
                break
        if self.state is not _CLOSED:
            self.owner.lost(self, error_name(self._failed or self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def _wanted(self) -> int:
        return (0 if self._pause and self._turns is None else IN) | (OUT if self._waiting else 0)

    def _update(self) -> None:
        if self.state in (_CLOSED, _CONNECTING, _PARTING):
            return
        events = self._wanted()
        if events != self._events:
            self._events = events
            self._loop.modify(self.sock.fileno(), events)
