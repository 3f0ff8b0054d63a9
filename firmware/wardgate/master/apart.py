"""The custody writer that has an account of its own: the service manager keeps it, the master calls it and calls again.

It is ready when it takes the master's call (`custody.control`). One that dies, or goes and comes again, is one whose line ended: workers
reclaim their entries at the next one, as of a child. One that hangs the service manager ends; the master may not.
"""

from __future__ import annotations

import socket
import time

from wardgate.codes import Code
from wardgate.custody.arguments import CONTROL, socket_of
from wardgate.custody.connection import peer_of
from wardgate.master.knock import Knock
from wardgate.master.process import State
from wardgate.master.telling import Telling
from wardgate.master.writer import START_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.events import Events
    from wardgate.master.loop import Loop

_AGAIN_SECONDS = 0.1


class WriterApart:
    """`on_ready()` is called each time one is ready, `on_failed()` when the first does not come, `on_gone()` after `stop`."""

    def __init__(
        self,
        config: dict[str, Any],
        loop: Loop,
        events: Events,
        on_ready: Callable[[], None],
        on_failed: Callable[[], None],
        on_gone: Callable[[], None],
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._config, self._loop, self._events = config, loop, events
        self._on_ready, self._on_failed, self._on_gone = on_ready, on_failed, on_gone
        self._start_seconds = start_seconds
        self._path = socket_of(config)
        self._telling = Telling(loop)
        self._knock = Knock(loop, self._path)
        self._stopping = False
        self._was_ready = False
        self._since = 0.0
        self.pid = 0
        self.state = State.GONE

    def start(self) -> None:
        """Call it, until it answers."""
        self._since = time.monotonic()
        self._call()

    def stop(self, seconds: float) -> None:
        """Leave it: it goes on for the next master. `on_gone()` follows; `seconds` are for a child."""
        del seconds
        self._stopping = True
        self._left()
        self._loop.after(0, self._on_gone)

    def ping(self, now: float) -> float:
        """Ask for a sign of life, unless one is due; return for how many seconds it has been due."""
        return self._knock.ask(now)

    def kill(self) -> None:
        """It hangs, or does not read: hang up. Its own watchdog ends it."""
        self._ended()

    def tell_queue(self, config: dict[str, Any]) -> None:
        """A new configuration, of which only the queue may be new. Before a worker holds anything in it."""
        self._config = config
        self._say_queue()

    def tell_tokens(self, out: list[str] | None, news: list[dict[str, str]]) -> None:
        """Tell why checkpoints cannot be signed (None: they can), and what to record; news are kept until they are durable."""
        self._telling.tokens(out, news)

    def _say_queue(self) -> None:
        if self._config.get("hold") and not self._telling.queue(self._config["hold"]["directory"]):
            self._ended()

    def _call(self) -> None:
        if self._stopping or self.state is State.READY:
            return
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            line.connect(self._path + CONTROL)
        except OSError as error:
            line.close()
            if not self._was_ready and time.monotonic() - self._since >= self._start_seconds:
                self._events.event(Code.START_FAILED, what="writer", detail=error.strerror)
                self._on_failed()
                return
            self._loop.after(_AGAIN_SECONDS, self._call)
            return
        self.pid = peer_of(line)[0]
        self.state = State.READY
        self._was_ready = True
        self._telling.use(line, self._ended)
        self._say_queue()
        if self.state is State.READY:
            self._on_ready()

    def _ended(self) -> None:
        if self.state is not State.READY:
            return
        self._events.event(Code.WRITER_DIED, what="writer", pid=self.pid, how="its line ended")
        self._left()
        self._since = time.monotonic()
        self._loop.after(_AGAIN_SECONDS, self._call)

    def _left(self) -> None:
        self.pid, self.state = 0, State.GONE
        self._knock.forget()
        self._telling.close()
