"""Starts the custody writer and keeps it alive. It is ready when its socket takes connections."""

from __future__ import annotations

import os
import signal
import socket
import time

from wardgate.codes import Code
from wardgate.custody.arguments import arguments, socket_of
from wardgate.master import control
from wardgate.master.backoff import Backoff
from wardgate.master.knock import Knock
from wardgate.master.process import State
from wardgate.master.telling import Telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop, Timer

_PROBE_SECONDS = 0.02
START_SECONDS = 300.0  # then it hangs; the longest write-ahead file is read in seconds
_SLOW_PROBE_SECONDS = 0.2  # after a while: a long log takes its time to open


def options(config: dict[str, Any], control_fd: int) -> tuple[str, ...]:
    """Return the command line options of a writer that is the master's child (`custody.options`)."""
    return (*arguments(config), "--control-fd", str(control_fd))


class Writer:
    """The custody writer process.

    `on_ready()` is called each time one is ready, `on_failed()` when the first cannot start, `on_gone()` after `stop`.
    """

    def __init__(
        self,
        config: dict[str, Any],
        loop: Loop,
        children: Children,
        events: Events,
        argv: tuple[str, ...],
        on_ready: Callable[[], None],
        on_failed: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._config = config
        self._loop, self._children, self._events, self._argv = loop, children, events, argv
        self._on_ready, self._on_failed, self._on_gone = on_ready, on_failed, on_gone
        self._socket_path = socket_of(config)
        self._backoff = Backoff()
        self._knock = Knock(loop, self._socket_path)
        self._stopping = False
        self._was_ready = False
        self._telling = Telling(loop)  # the end of its line tells the writer that the master died
        self._kill_timer: Timer | None = None
        self._started = 0.0
        self.pid = 0
        self.state = State.GONE

    def start(self) -> None:
        """Start it."""
        if self._stopping:
            return
        ours, theirs = control.pair()
        self._started = time.monotonic()
        try:
            argv = (*self._argv, *options(self._config, theirs.fileno()))
            # One heap for its threads too: what makes checkpoints would have one of its own.
            environment = {"MALLOC_ARENA_MAX": "1", **os.environ}
            self.pid = self._children.start(argv, self._exited, (theirs.fileno(),), environment)
        except OSError as error:
            ours.close()
            self._events.event(Code.START_FAILED, what="writer", detail=error.strerror)
            self._again(0)
            return
        finally:
            theirs.close()
        self.state = State.STARTING
        self._kill_timer = self._loop.after(START_SECONDS, self._hangs)
        self._telling.use(ours)
        self._probe()

    def stop(self, seconds: float) -> None:
        """End it: it signs what it has and leaves; killed after `seconds`. `on_gone()` follows."""
        self._stopping = True
        if self.state is State.GONE:
            self._loop.after(0, self._on_gone)
            return
        self.state = State.DRAINING
        pid = self.pid
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._children.signal(pid, signal.SIGTERM)
        self._kill_timer = self._loop.after(seconds, lambda: self._children.signal(pid, signal.SIGKILL))

    def ping(self, now: float) -> float:
        """Ask for a sign of life, unless one is due; return for how many seconds it has been due."""
        return self._knock.ask(now)

    def kill(self) -> None:
        """End it by force; another follows."""
        self._children.signal(self.pid, signal.SIGKILL)

    def tell_queue(self, config: dict[str, Any]) -> None:
        """A new configuration, of which only the queue may be new. Before a worker holds anything in it."""
        came = config.get("hold") and not self._config.get("hold")
        self._config = config
        if came and not self._telling.queue(config["hold"]["directory"]):  # it does not read; the next one starts with it
            self.kill()

    def tell_tokens(self, out: list[str] | None, news: list[dict[str, str]]) -> None:
        """Tell why checkpoints cannot be signed (None: they can), and what to record; news are kept until they are durable."""
        self._telling.tokens(out, news)

    def _probe(self) -> None:
        if self.state is not State.STARTING:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
                probe.connect(self._socket_path)
        except OSError:
            slow = time.monotonic() - self._started > 5.0
            self._loop.after(_SLOW_PROBE_SECONDS if slow else _PROBE_SECONDS, self._probe)
            return
        self.state = State.READY
        self._was_ready = True
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._on_ready()

    def _hangs(self) -> None:
        self._events.event(Code.PROCESS_HUNG, what="writer", pid=self.pid, seconds=int(START_SECONDS))
        self.kill()

    def _exited(self, how: str) -> None:
        pid, self.pid, self.state = self.pid, 0, State.GONE
        self._knock.forget()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._telling.close()
        if self._stopping:
            self._on_gone()
            return
        self._events.event(Code.WRITER_DIED if self._was_ready else Code.START_FAILED, what="writer", pid=pid, how=how)
        self._again(time.monotonic() - self._started)

    def _again(self, lived_seconds: float) -> None:
        if not self._was_ready:
            self._on_failed()
        else:
            self._loop.after(self._backoff.next_delay(lived_seconds), self.start)
