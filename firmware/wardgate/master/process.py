"""One worker process and its control socket."""

from __future__ import annotations

import signal
import time
from enum import Enum

from wardgate.master import control
from wardgate.master.loop import IN, Loop, Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from wardgate.master.children import Children
    from wardgate.master.waiting import Waiting


_START_SECONDS = 120.0
_LINGER_SECONDS = 5.0


class State(Enum):
    """Of a supervised process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


class Process:
    """Starts the program with the control descriptor's number as last argument, or takes one that waits, and sends it its start message.

    `on_message(process, message)` gets what it says, `on_exit(process, how)` its end; both on the loop.
    """

    def __init__(
        self,
        loop: Loop,
        children: Children,
        argv: tuple[str, ...],
        start: dict[str, Any],
        on_message: Callable[[Process, dict[str, Any]], None],
        on_exit: Callable[[Process, str], None],
        fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        first = control.encode({"do": "start", "fds": list(fds), **start})
        self.state = State.STARTING
        self.started = time.monotonic()
        self.last_status: dict[str, Any] | None = None
        self._loop, self._children = loop, children
        self._on_message, self._on_exit = on_message, on_exit
        self._kill_timer: Timer | None = None
        self._asked: float | None = None  # when it was asked for a sign of life that it has not given
        taken = waiting.take(first, fds, self._exited) if waiting is not None else None
        self.pid, self._control = taken or self._begin(first, argv, fds, environment)
        loop.watch(self._control.fileno(), IN, self._readable)
        self._kill_after(_START_SECONDS, self.kill)

    def _begin(
        self, first: bytes, argv: tuple[str, ...], fds: Sequence[int], environment: Mapping[str, str] | None
    ) -> tuple[int, socket.socket]:
        ours, theirs = control.pair()
        try:
            ours.send(first)
            pid = self._children.start((*argv, str(theirs.fileno())), self._exited, (theirs.fileno(), *fds), environment)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return pid, ours

    def ready(self) -> None:
        """Note that it serves."""
        self.state = State.READY
        if self._kill_timer is not None:
            self._kill_timer.cancel()

    def say(self, message: dict[str, Any]) -> bool:
        """Send a message; False when the process does not take it."""
        try:
            self._control.send(control.encode(message))
        except OSError:
            return False
        return True

    def ping(self, now: float) -> float:
        """Ask for a sign of life, unless one is due; return for how many seconds it has been due. Whatever it says is one."""
        if self._asked is None:
            self._asked = now
            self.say({"do": "ping"})
        return now - self._asked

    def drain(self, seconds: float, at_timeout: Callable[[Process], None]) -> None:
        """Let it end its associations; after `seconds` call `at_timeout` and end it."""
        if self.state in (State.DRAINING, State.GONE):
            return
        self.state = State.DRAINING

        def timeout() -> None:
            at_timeout(self)
            self.stop(5.0)

        self._kill_after(seconds, timeout)
        self.say({"do": "drain"})

    def stop(self, seconds: float) -> None:
        """Ask it to end now; kill it after `seconds`."""
        if self.state is State.GONE:
            return
        self.state = State.DRAINING
        self.say({"do": "stop"})
        self._kill_after(seconds, self.kill)

    def kill(self) -> None:
        """End it by force; `on_exit` follows."""
        self._children.signal(self.pid, signal.SIGKILL)

    def _kill_after(self, seconds: float, call: Callable[[], None]) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = self._loop.after(seconds, call)

    def _readable(self, _events: int) -> None:
        try:
            data = self._control.recv(control.MAX_MESSAGE_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # it has ended or is about to; its exit status tells the rest
            self._loop.forget(self._control.fileno())
            self._kill_after(_LINGER_SECONDS, self.kill)
            return
        try:
            message = control.decode(data)
        except control.ControlError:
            self.kill()
            return
        self._asked = None
        self._on_message(self, message)

    def _exited(self, how: str) -> None:
        while self.state is not State.GONE and self._drain_control():  # what it said last
            pass
        self.state = State.GONE
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if self._control.fileno() >= 0:
            self._loop.forget(self._control.fileno())
            self._control.close()
        self._on_exit(self, how)

    def _drain_control(self) -> bool:
        try:
            data = self._control.recv(control.MAX_MESSAGE_BYTES + 1)
            message = control.decode(data) if data else None
        except (OSError, control.ControlError):
            return False
        if message is None:
            return False
        self._on_message(self, message)
        return True
