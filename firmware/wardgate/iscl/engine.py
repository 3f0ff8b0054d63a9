"""One ISCL connection without a socket: wire bytes in, messages out; messages in, wire bytes out.

engine = Engine(Role.SERVER, settings, primitives)
engine.start(now)
engine.feed(view, now)         raises IsclError: send its `to_send`, close, send nothing else
engine.take_output()           wire bytes to send, after each call
engine.take_asked()            operations for the token, after each call; later `answer` or `failed`
engine.take_messages()         proven plain messages
engine.send(data, now)         queue a message; `busy` until it is on the wire
engine.deadline                when to call `expire`, in the caller's clock
engine.disconnect(now)         after what is queued
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardgate.iscl.bodies import Header, Message
from wardgate.iscl.direction import Register
from wardgate.iscl.errors import Condition, IsclError, LocalError
from wardgate.iscl.handshake import Handshake
from wardgate.iscl.layout import LAYOUT, WITH_OPTION, Kind
from wardgate.iscl.line import Ask, Line, Wait
from wardgate.iscl.opening import Opener
from wardgate.iscl.primitives import Primitives
from wardgate.iscl.receiving import Receiver
from wardgate.iscl.reconstruction import OptionPlace
from wardgate.iscl.sealing import Sealer
from wardgate.iscl.sending import Sender
from wardgate.iscl.settings import Settings, problems
from wardgate.iscl.table import CONNECTION, HALF_DUPLEX, RECEIVER, SENDER, Do, Receiving, Sending, State, refusal
from wardgate.iscl.terms import ACK, HEADER_BYTES, UNIT_BYTES, MessageId, Role
from wardgate.iscl.tokens import Result

MAX_BODY_BEFORE: Final = 4096  # bytes, until the peer is known
_SLACK: Final = 8  # bytes that a body may have beyond a block
_SPEAKS: Final = ((b"\x16\x03", "TLS"), (b"\x01\x00\x00", "DICOM in clear"), (b"GET ", "HTTP"), (b"SSH-", "SSH"))


class Engine:
    """Both roles. Not thread safe."""

    def __init__(self, role: Role, settings: Settings, primitives: Primitives) -> None:
        wrong = list(problems(settings))
        if wrong:
            raise LocalError(f"settings: {wrong}")
        self._line = line = Line(role, settings, primitives)
        self._handshake = Handshake(line)
        size = max(8, UNIT_BYTES[settings.encryption])
        register = Register(size)
        other = register if settings.r1.shared_register else Register(size)
        self._sender = Sender(line, Sealer(settings, line.codec, primitives, line.mine, register))
        self._receiver = Receiver(line, Opener(settings, line.codec, primitives, line.theirs, other))
        self._carry = bytearray()
        self._first = True
        self._closing = False  # asked to, once all is sent
        self.ended = False  # by disconnection, not by failure
        self.close_refused = False

    # --- what the caller looks at

    @property
    def state(self) -> State:
        """Of the connection."""
        return self._handshake.state

    @property
    def sending(self) -> Sending:
        """Of our own messages."""
        return self._sender.state

    @property
    def receiving(self) -> Receiving:
        """Of the peer's messages."""
        return self._receiver.state

    @property
    def peer_name(self) -> bytes:
        """The authentication data of the peer, proven once the state is `OPEN`."""
        return self._handshake.peer_name

    @property
    def block_length(self) -> int:
        """Negotiated, bytes."""
        return self._line.block_length

    @property
    def busy(self) -> bool:
        """Does a message of ours wait or pass?"""
        return self._sender.busy

    @property
    def queued_bytes(self) -> int:
        """Plain bytes that wait to be sent."""
        return self._sender.queued_bytes

    @property
    def key_worn(self) -> bool:
        """Has a static key protected more than it should?"""
        return self._sender.warned

    @property
    def deadline(self) -> float | None:
        """When to call `expire`."""
        return min(self._line.deadlines.values(), default=None)

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """Return wire bytes to send, in order."""
        output, self._line.output = self._line.output, []
        return output

    def take_asked(self) -> list[Ask]:
        """Return what the token should do."""
        asked, self._line.asked = self._line.asked, []
        return asked

    def take_messages(self) -> list[memoryview]:
        """Return proven messages, in order; join them."""
        messages, self._receiver.messages = self._receiver.messages, []
        return messages

    # --- what the caller does

    def start(self, now: float) -> None:
        """Begin."""
        if self.state is not State.START:
            raise LocalError("started twice")
        self._line.now = self._sender.born = now
        self._handshake.start()

    def send(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Queue one message (several, when it is too long). Copies it."""
        if self.state is not State.OPEN or self._closing:
            raise LocalError(f"send, {self.state.value}")
        self._line.now = now
        self._sender.put(data)
        self._guard(self._go)

    def hold(self, on: bool, now: float) -> None:
        """Take no further message of the peer for now, or again: there is no room for what it says. The one under way still comes.

        Wire bytes must be fed all the while: the answers to our own messages are among them.
        """
        self._line.now = now
        self._receiver.hold = on
        if not on and self.state in (State.OPEN, State.CLOSING):
            self._guard(self._receiver.go_on)

    def disconnect(self, now: float) -> None:
        """Ask the peer to close, after what is queued."""
        if self.state is not State.OPEN:
            return
        self._line.now = now
        self._closing = True
        self._guard(self._go)

    def answer(self, ask: Ask, results: tuple[Result, ...], now: float) -> None:
        """Take the results of the token."""
        self._line.now = now
        if self.state is State.CLOSED:
            return
        if len(results) != len(ask.operations):
            raise LocalError("results")
        self._guard(lambda: ask.then(results))
        if self.state is State.OPEN:
            self._guard(self._go)

    def failed(self, ask: Ask, detail: str, now: float) -> IsclError:
        """Return the error to end with: the token could not do it."""
        self._line.now = now
        if self.state not in (State.OPEN, State.CLOSING, State.CLOSED):
            error = self._handshake.token_failed(detail)
        elif ask.then.__self__ is self._receiver:  # type: ignore[attr-defined]
            error = self._receiver.token_failed(detail)
        else:
            error = IsclError(Condition.LOCAL_CARD, detail)
        self._end()
        return error

    def expire(self, now: float) -> None:
        """A deadline may have passed. Raises `IsclError`."""
        self._line.now = now
        for what, when in list(self._line.deadlines.items()):
            if now < when:
                continue
            self._end()
            if what is Wait.DISCONNECTION:
                self.ended = True
                return
            raise IsclError(Condition.LATE, what.value)

    def lost(self) -> IsclError | None:
        """The connection ended. Return what is wrong with that; None: it was over, or between messages."""
        if self.state is State.CLOSED:
            return None
        whole = self.state in (State.OPEN, State.CLOSING) and self.receiving is Receiving.IDLE and not self.busy and not self._carry
        self._end()
        return None if whole else IsclError(Condition.TRANSMISSION_FAILED)

    def feed(self, data: memoryview, now: float) -> None:
        """Take wire bytes as they come. Raises `IsclError`: nothing more is sent then but its `to_send`."""
        self._line.now = now
        self._guard(lambda: self._feed(data))

    # --- inside

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except IsclError:
            self._end()
            raise

    def _end(self) -> None:
        line = self._line
        self._handshake.state = State.CLOSED
        line.output.clear()
        line.asked.clear()
        line.deadlines.clear()
        line.connection_keys.clear()
        self._carry = bytearray()

    def _go(self) -> None:
        """Do what can be done without the peer: the next message, a spare key, the disconnection."""
        if self.state is not State.OPEN:
            return
        sender = self._sender
        if not (self._line.settings.r1.half_duplex and self.receiving is not Receiving.IDLE):
            sender.begin()
            sender.stock_up()
        if self._closing and not sender.busy:
            self._line.send(MessageId.DISCONNECT_REQUEST)
            self._line.wait(Wait.DISCONNECTION, self._line.settings.timers.disconnection)
            self._handshake.state = State.CLOSING

    def _feed(self, data: memoryview) -> None:
        at, size = 0, len(data)
        while at < size and self.state is not State.CLOSED:
            carry = self._carry
            if not carry and size - at >= HEADER_BYTES:
                header = self._judged(data, at)
                end = at + HEADER_BYTES + header.length
                if end <= size:
                    self._take(header, data[at : at + HEADER_BYTES], data[at + HEADER_BYTES : end])
                    at = end
                    continue
            # Less than a whole message: at most a block and its header are kept.
            want = HEADER_BYTES if len(carry) < HEADER_BYTES else HEADER_BYTES + self._judged(carry, 0).length
            piece = data[at : at + want - len(carry)]
            carry += piece
            at += len(piece)
            if len(carry) < HEADER_BYTES:
                return
            header = self._judged(carry, 0)
            if len(carry) == HEADER_BYTES + header.length:
                self._carry = bytearray()
                whole = memoryview(carry)
                self._take(header, whole[:HEADER_BYTES], whole[HEADER_BYTES:])

    def _judged(self, data: memoryview | bytearray, at: int) -> Header:
        """Return the header at `at`, its length within bounds before anything is kept for it."""
        line = self._line
        header = line.codec.read_header(data, at)
        if self._first and header.message_id not in LAYOUT:
            start = bytes(data[at : at + 4])
            raise IsclError(Condition.NOT_ISCL, next((f"{what}?" for sign, what in _SPEAKS if start.startswith(sign)), ""))
        longest = line.block_length + _SLACK if self.state in (State.OPEN, State.CLOSING) else MAX_BODY_BEFORE
        if header.length > longest:
            condition = Condition.BAD_BLOCK_LENGTH if header.message_id == MessageId.DATA else Condition.BAD_LENGTH
            raise IsclError(condition, f"a body of {header.length} bytes")
        return header

    def _take(self, header: Header, head: memoryview, body: memoryview) -> None:
        self._first = False
        if header.message_id == MessageId.DATA and self.receiving is Receiving.DATA and not header.option:
            if self._line.settings.r1.strict_zero:
                self._must_be_zero(header)
            if self._receiver.data(head, body):  # most of what comes: no dictionary is made for it
                self._go()
            return
        self._must_be_zero(header)
        if len(body) > MAX_BODY_BEFORE and _short(header.message_id):
            raise IsclError(Condition.BAD_LENGTH, f"a body of {header.length} bytes")
        message = self._line.codec.decode(header, bytes(body))
        do = CONNECTION.get((self.state, message.id))
        if do is None:
            raise IsclError(refusal(message.id, self.receiving), f"{message.id.name}, {self.state.value}")
        if do is Do.TO_SENDER:
            do = SENDER.get((self.sending, message.id))
            where: object = self._sender
        elif do is Do.TO_RECEIVER:
            do = self._to_receiver(message)
            where = self._receiver
        else:
            where = self if hasattr(self, do.value) else self._handshake
        if do is None:
            raise IsclError(refusal(message.id, self.receiving), f"{message.id.name}, {self.sending.value}, {self.receiving.value}")
        if do is Do.COLLISION:
            return
        self._option_fits(message)
        getattr(where, do.value)(message)
        if self.state is State.OPEN:
            self._go()

    def _to_receiver(self, message: Message) -> Do | None:
        do = RECEIVER.get((self.receiving, message.id))
        if do is not Do.REQUEST or not self._line.settings.r1.half_duplex:
            return do
        do = HALF_DUPLEX.get(self.sending)
        if do is Do.COLLISION and self._line.role is Role.SERVER:  # the TCP client wins
            self._sender.yield_turn()
            return Do.REQUEST
        return do

    def _must_be_zero(self, header: Header) -> None:
        in_body = self._line.settings.r1.option_place is OptionPlace.BODY
        if header.option and (in_body or header.message_id not in WITH_OPTION) and header.message_id in LAYOUT:
            raise IsclError(Condition.BAD_OPTION, f"{MessageId(header.message_id).name}, {header.option:08x}")
        if self._line.settings.r1.strict_zero:
            for name in ("indicator", "time_stamp", "error_number", "reserved_1", "reserved_2"):
                if getattr(header, name):
                    raise IsclError(Condition.NOT_ZERO, name)

    def _option_fits(self, message: Message) -> None:
        if message.id is MessageId.MAC and message.option not in (0, 1):
            raise IsclError(Condition.BAD_OPTION, f"MAC, {message.option:08x}")

    def disconnect_request(self, _message: Message) -> None:
        """The peer asks to close."""
        if self.receiving is not Receiving.IDLE:
            raise IsclError(Condition.TRANSMISSION_FAILED, "the peer closes inside a message")
        self._line.send(MessageId.DISCONNECT_RESPONSE, status=ACK)
        if self.state is State.CLOSING:  # both asked; our own answer is still to come
            return
        self.ended = True
        self._over()

    def disconnect_response(self, message: Message) -> None:
        """The peer lets us close; a refusal is only noted."""
        self.close_refused = message.number("status") != ACK
        self.ended = True
        self._over()

    def _over(self) -> None:
        output = self._line.output
        self._line.output = []
        self._end()
        self._line.output = output


def _short(message_id: int) -> bool:
    """Tell whether a message has no part of free length."""
    layout = LAYOUT.get(message_id)  # type: ignore[call-overload]
    return layout is None or all(kind is not Kind.REST for _name, kind in layout)
