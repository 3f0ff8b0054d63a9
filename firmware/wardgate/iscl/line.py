"""What the parts of the engine share: settings, codec, output, deadlines, and what is asked of the token."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from wardgate.iscl.bodies import Codec, Value
from wardgate.iscl.primitives import Primitives
from wardgate.iscl.settings import Settings
from wardgate.iscl.terms import MessageId, Role, Way
from wardgate.iscl.tokens import Operation, Result


class Wait(Enum):
    """What a deadline is for."""

    LINE = "line check"
    AUTHENTICATION = "authentication"
    ANSWER = "answer to our message"
    BLOCK = "next part of a message"
    DISCONNECTION = "disconnection response"


class Ask:
    """Operations for the token, in order. Give the results to `Engine.answer`, or say `Engine.failed`."""

    __slots__ = ("operations", "then")

    def __init__(self, operations: tuple[Operation, ...], then: Callable[[tuple[Result, ...]], None]) -> None:
        self.operations = operations
        self.then = then


class Line:
    """One connection, seen by all parts of the engine."""

    def __init__(self, role: Role, settings: Settings, primitives: Primitives) -> None:
        self.role = role
        self.settings = settings
        self.primitives = primitives
        self.codec = Codec(settings.r1, settings.wide)
        self.mine = Way.TO_CLIENT if role is Role.SERVER else Way.TO_SERVER  # the way of what we send
        self.theirs = Way.TO_SERVER if role is Role.SERVER else Way.TO_CLIENT
        self.now = 0.0
        self.block_length = settings.block_length
        self.output: list[bytes | bytearray | memoryview] = []
        self.asked: list[Ask] = []
        self.deadlines: dict[Wait, float] = {}
        self.my_challenge = b""
        self.their_challenge = b""
        self.connection_keys: dict[Way, bytes] = {}  # extension suites

    def send(self, message_id: MessageId, option: int = 0, **fields: Value) -> None:
        """Put a message into the output."""
        self.output.append(self.codec.encode(message_id, option, **fields))

    def ask(self, then: Callable[[tuple[Result, ...]], None], *operations: Operation) -> None:
        """Ask the token; `then` takes the results."""
        self.asked.append(Ask(operations, then))

    def wait(self, what: Wait, seconds: float) -> None:
        """Expect something within `seconds`."""
        self.deadlines[what] = self.now + seconds

    def came(self, what: Wait) -> None:
        """What was waited for is there."""
        self.deadlines.pop(what, None)
