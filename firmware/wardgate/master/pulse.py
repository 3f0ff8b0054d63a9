"""Asks workers, forwarder, audit sender and custody writer again and again whether they answer; one that is silent for too long is killed.

A process that hangs keeps its associations and its place for ever, and nothing else notices: it has not died. Killed, it is one that
died, for which the box is made (decision 014). The service manager hears `alive` only while all of them answer, so a master that hangs,
or one that cannot help, is ended by it (docs/image.md, watchdog).
"""

from __future__ import annotations

import time

from wardgate.codes import Code
from wardgate.master.process import Process, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.master.apart import WriterApart
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop
    from wardgate.master.writer import Writer
    from wardgate.notify import Notifier

LOOK_SECONDS = 5.0
HUNG_SECONDS = 20.0  # without an answer, it is killed


class Pulse:
    """`processes()`: who must answer; `writer()`: the custody writer, None while there is none."""

    def __init__(
        self,
        loop: Loop,
        events: Events,
        notifier: Notifier,
        processes: Callable[[], list[Process]],
        writer: Callable[[], Writer | WriterApart | None],
    ) -> None:
        self._loop, self._events, self._notifier, self._processes, self._writer = loop, events, notifier, processes, writer
        self._every = LOOK_SECONDS if notifier.interval is None else min(LOOK_SECONDS, notifier.interval)

    def start(self) -> None:
        """Look now, and from then on every few seconds."""
        self._loop.after(self._every, self.start)
        now = time.monotonic()
        waited = [
            self._judge("worker, forwarder or audit sender", process.pid, process.ping(now), process.kill) for process in self._asked()
        ]
        writer = self._writer()
        if writer is not None and writer.state is State.READY:
            waited.append(self._judge("writer", writer.pid, writer.ping(now), writer.kill))
        # Asked at the last look and not answered until this one: late. One look may be missed on a busy machine.
        if max(waited, default=0.0) < 2.5 * self._every:
            self._notifier.alive()

    def _asked(self) -> list[Process]:
        return [process for process in self._processes() if process.state in (State.READY, State.DRAINING)]

    def _judge(self, what: str, pid: int, waited: float, kill: Callable[[], None]) -> float:
        if waited > HUNG_SECONDS:
            self._events.event(Code.PROCESS_HUNG, what=what, pid=pid, seconds=int(waited))
            kill()
        return waited
