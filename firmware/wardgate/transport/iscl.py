"""One ISCL connection without a socket, with the face of `tls.TlsChannel`: engine, tokens and the cutting into messages.

During the handshake a handshake thread uses it and the token's operations block that thread. Afterwards the event loop does, and
operations (the keys of messages) go to the pool that `attach` names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.iscl.engine import Engine
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.line import Ask
from wardgate.iscl.table import State
from wardgate.transport.isclframe import Cutter

if TYPE_CHECKING:
    from wardgate.iscl.primitives import Primitives
    from wardgate.iscl.settings import Settings
    from wardgate.iscl.terms import Role
    from wardgate.transport.isclkeys import Token

VERSION: Final = "ISCL-style R1"
Submit = Callable[[Callable[[], Any], Callable[[Any, "Exception | None"], None]], None]


class IsclChannel:
    """After any `IsclError` the channel is dead: nothing more is sent but the error's `to_send`."""

    truncated_code = Code.ISCL_TRUNCATED
    ended_early_code = Code.ISCL_ENDED_IN_HANDSHAKE
    talks = True
    tls_first = False

    def __init__(self, role: Role, settings: Settings, primitives: Primitives, token: Token) -> None:
        self._engine = Engine(role, settings, primitives)
        self._token = token
        self._cutter = Cutter(settings.r1.message_unit, settings.max_message)
        self._inbox: list[memoryview] = []
        self._submit: Submit | None = None
        self._moved: Callable[[Exception | None], None] | None = None
        self.cipher = f"{settings.encryption.name} {settings.mac.name}".lower().replace("_", "-")
        self.version = VERSION
        self.tell: Callable[[Code], None] = _nobody  # who hears `remarks` in the end
        self.done = False

    # --- handshake thread

    def step(self, data: bytes | memoryview | None) -> tuple[bytes, bool]:
        """Take wire bytes (None: begin; empty: the peer closed) and go on with the authentication. Blocks for the token.

        Raises `IsclError`.
        """
        now = time.monotonic()
        if data is None:
            self._engine.start(now)
        elif not data:
            raise self._engine.lost() or IsclError(Condition.TRANSMISSION_FAILED)
        else:
            self._engine.feed(memoryview(data), now)
        while asked := self._engine.take_asked():
            for ask in asked:
                self._answer(ask, *self._run(ask))
        self.done = self._engine.state is State.OPEN or self._engine.ended  # it may have taken its leave at once
        self._inbox += self._engine.take_messages()
        return b"".join(self._engine.take_output()), self.done

    def _run(self, ask: Ask) -> tuple[Any, Exception | None]:
        try:
            return self._token.run(ask.operations), None
        except Exception as error:  # whatever a token raises, it failed
            return None, error

    def _answer(self, ask: Ask, results: Any, error: Exception | None) -> None:
        now = time.monotonic()
        if error is not None:
            raise self._engine.failed(ask, f"{type(error).__name__}: {error}"[:200], now) from error
        self._engine.answer(ask, results, now)

    # --- event loop

    def attach(self, submit: Submit, moved: Callable[[Exception | None], None]) -> None:
        """From now on operations run by `submit`; `moved(error)` is called on the loop when one changed something."""
        self._submit, self._moved = submit, moved
        self._work()

    def seal(self, data: bytes | bytearray | memoryview) -> bytes | list[bytes]:
        """Take data; return the wire bytes that may go now. The rest follows from `to_send` as the peer answers: see `busy`.

        Nothing where the peer has taken its leave: it hears no more. Raises `IsclError`.
        """
        if self._engine.ended:
            return b""
        now = time.monotonic()
        for message in self._cutter.cut(data):
            self._engine.send(message, now)
        self._work()
        return self._output()

    def open(self, wire: bytes | memoryview, into: memoryview) -> int:
        """Take wire bytes, put proven data into `into`, return how many bytes. See `pending` and `to_send` afterwards.

        Raises `IsclError`.
        """
        if wire:
            self._engine.feed(wire if isinstance(wire, memoryview) else memoryview(wire), time.monotonic())
            self._inbox += self._engine.take_messages()
            self._work()
        inbox = self._inbox
        filled, room = 0, len(into)
        while inbox and filled < room:
            message = inbox[0]
            count = min(len(message), room - filled)
            into[filled : filled + count] = message[:count]
            filled += count
            if count == len(message):
                del inbox[0]
            else:
                inbox[0] = message[count:]
        return filled

    def hold(self, on: bool) -> None:
        """Nobody takes data for now, or somebody does again: the peer's next message waits, what we say does not."""
        self._engine.hold(on, time.monotonic())
        self._work()

    def to_send(self) -> bytes | bytearray | memoryview:
        """Return wire bytes that are due."""
        output = self._engine.take_output()
        return output[0] if len(output) == 1 else b"".join(output)  # a long message is one piece: not copied

    def close(self) -> bytes | bytearray | memoryview:
        """Ask the peer to close, after what is queued; see `over`."""
        if self._engine.state is not State.OPEN:
            return b""
        self._engine.disconnect(time.monotonic())
        self._work()
        return self.to_send()

    def tick(self) -> None:
        """Judge deadlines. Raises `IsclError`."""
        deadline = self._engine.deadline
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            self._engine.expire(now)

    @property
    def pending(self) -> bool:
        """Whether `open` with no new bytes gives more."""
        return bool(self._inbox)

    @property
    def ended(self) -> bool:
        """The peer took its leave and everything it said was given out."""
        return self._engine.ended and not self._inbox

    @property
    def left(self) -> bool:
        """The peer took its leave; what it said before may still wait here."""
        return self._engine.ended

    @property
    def busy(self) -> bool:
        """Whether a message of ours waits for its turn."""
        return self._engine.busy

    @property
    def over(self) -> bool:
        """Whether nothing more will be said."""
        if self._engine.state is State.CLOSED:
            self._token.close()
            return True
        return self._engine.state not in (State.OPEN, State.CLOSING)

    @property
    def remarks(self) -> tuple[Code, ...]:
        """What was noticed that ended nothing: the peer refused to close, a static key protected more than it should."""
        noticed = ((self._engine.close_refused, Code.ISCL_CLOSE_REFUSED), (self._engine.key_worn, Code.ISCL_KEY_WORN))
        return tuple(code for seen, code in noticed if seen)

    def dispose(self) -> None:
        """The socket is closed: say what is left to be said, once."""
        tell, self.tell = self.tell, _nobody
        for code in self.remarks:
            tell(code)
        self._engine.lost()
        self._inbox.clear()
        self._moved = None
        self._token.close()

    def _output(self) -> list[bytes]:
        return self._engine.take_output()  # type: ignore[return-value]  # bytearrays go as well

    def _work(self) -> None:
        """Give what the token is asked to the pool."""
        if self._submit is not None:
            for ask in self._engine.take_asked():
                self._submit(partial(self._run, ask), partial(self._worked, ask))

    def _worked(self, ask: Ask, result: Any, error: Exception | None) -> None:
        if self._moved is None:
            return
        failure: Exception | None = None
        try:
            self._answer(ask, *(result if result is not None else (None, error)))
            self._work()
        except Exception as caught:
            failure = caught
        self._moved(failure)


def _nobody(_code: Code) -> None:
    """Nobody wants to know."""
