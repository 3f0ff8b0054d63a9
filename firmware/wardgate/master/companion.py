"""Starts a process beside the workers (hold forwarder, audit sender) where the configuration wants it, and keeps it alive.

With a new configuration it is started anew.
"""

from __future__ import annotations

import os
import time

from wardgate.codes import Code
from wardgate.master.backoff import Backoff
from wardgate.master.process import Process, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop

_STOP_SECONDS = 20.0


class Companion:
    """One such process. `use` gives it a configuration, `stop` ends it."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        events: Events,
        what: str,
        argv: tuple[str, ...],
        wanted: Callable[[dict[str, Any]], bool],
        died: Code,
    ) -> None:
        """`wanted(config)`: does this configuration need it; `died`: the code that tells its death."""
        self._loop, self._children, self._events, self._argv = loop, children, events, argv
        self._what, self._wanted, self._died = what, wanted, died
        self._answer: dict[str, Any] | None = None
        self._process: Process | None = None
        self._backoff = Backoff()
        self._stopping: Callable[[], None] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def processes(self) -> list[Process]:
        """The process, while there is one."""
        return [self._process] if self._process is not None else []

    def use(self, answer: dict[str, Any]) -> None:
        """Serve this configuration: start, start anew, or end when it is not wanted."""
        self._answer = answer if self._wanted(answer["config"]) else None
        if self._process is None:
            self._start()
        else:
            self._process.stop(_STOP_SECONDS)  # `_exited` starts the next one

    def stop(self, done: Callable[[], None]) -> None:
        """End it: it finishes what it has begun. `done()` follows."""
        self._answer = None
        if self._process is None:
            self._loop.after(0, done)
            return
        self._stopping = done
        self._process.stop(_STOP_SECONDS)

    def _start(self) -> None:
        if self._answer is None or self._process is not None:
            return
        environment = dict(os.environ)
        environment.setdefault("MALLOC_ARENA_MAX", "1")
        if self._answer.get("openssl_conf_path"):
            environment["OPENSSL_CONF"] = self._answer["openssl_conf_path"]
        start = {"config": self._answer["config"]}
        try:
            self._process = Process(self._loop, self._children, self._argv, start, self._told, self._exited, (), environment)
        except OSError as error:
            self._events.event(Code.START_FAILED, what=self._what, detail=error.strerror)
            self._loop.after(self._backoff.next_delay(0), self._start)

    def _told(self, process: Process, message: dict[str, Any]) -> None:
        if message.get("is") == "ready" and process.state is State.STARTING:
            process.ready()
        elif message.get("is") == "failed":
            self._events.event(Code.START_FAILED, what=self._what, why=message.get("code"), detail=message.get("detail"))

    def _exited(self, process: Process, how: str) -> None:
        self._process = None
        if self._stopping is not None:
            done, self._stopping = self._stopping, None
            self._loop.after(0, done)
            return
        if how == "exit 0":
            self._start()
            return
        if self._answer is not None:
            self._events.event(self._died, pid=process.pid, how=how)
            self._loop.after(self._backoff.next_delay(time.monotonic() - process.started), self._start)


def holds(config: dict[str, Any]) -> bool:
    """Does a link hold?"""
    return any(link["delivery"] != "relay" for link in config["links"])
