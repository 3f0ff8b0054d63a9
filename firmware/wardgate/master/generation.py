"""One generation: the workers that serve one configuration."""

from __future__ import annotations

import os
import time
from enum import Enum

from wardgate.codes import Code
from wardgate.master.backoff import Backoff
from wardgate.master.listeners import wanted
from wardgate.master.process import Process, State
from wardgate.master.totals import add, shared, without_now
from wardgate.master.waiting import environment
from wardgate.token.needs import CUSTODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.listeners import Listeners
    from wardgate.master.loop import Loop
    from wardgate.master.parts import Parts
    from wardgate.master.waiting import Waiting
    from wardgate.token.machine import TokenState

_AGAIN_SECONDS = 0.05


class Phase(Enum):
    """Of a generation."""

    STARTING = "starting"  # not all workers were ready yet
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"  # a worker could not start: this configuration does not work here


class Generation:
    """Starts `workers` processes, the first from who is `waiting` for it, and keeps them alive until it is told to drain."""

    def __init__(
        self,
        number: int,
        answer: dict[str, Any],
        loop: Loop,
        children: Children,
        events: Events,
        listeners: Listeners,
        argv: tuple[str, ...],
        tokens: TokenState,
        parts: Parts,
        on_ready: Callable[[Generation], None],
        on_failed: Callable[[Generation], None],
        on_gone: Callable[[Generation], None],
        waiting: Waiting | None = None,
    ) -> None:
        self.number = number
        self.answer = answer
        self.config: dict[str, Any] = answer["config"]
        self.endpoints = wanted(self.config)
        self.phase = Phase.STARTING
        self.tokens = tokens
        self._parts = parts
        self._told = self._outs()
        self.workers: dict[int, Process] = {}
        self.past: dict[str, Any] = {}  # counters of workers that are gone
        self._loop, self._children, self._events, self._listeners, self._argv = loop, children, events, listeners, argv
        self._on_ready, self._on_failed, self._on_gone = on_ready, on_failed, on_gone
        self._backoffs: dict[int, Backoff] = {}
        self._is_gone = False
        self._waiting = waiting
        self._environment = environment()
        if answer.get("openssl_conf_path"):
            self._environment["OPENSSL_CONF"] = answer["openssl_conf_path"]
            self._waiting = None  # it has begun without

    def start(self) -> None:
        """Start all workers; `on_ready` is called when all are ready, `on_failed` when one cannot start."""
        count = self.config["box"]["workers"] or len(os.sched_getaffinity(0))
        for index in range(count):
            self._backoffs[index] = Backoff()
            if self.phase is Phase.STARTING:
                self._start_worker(index)

    def drain(self) -> None:
        """Let the workers end their associations and leave, within `limits.drain_seconds`."""
        self._leave(lambda worker: worker.drain(self.config["limits"]["drain_seconds"], self._late))

    def stop(self) -> None:
        """End the workers now."""
        self._leave(lambda worker: worker.stop(2.0))

    def tell_tokens(self) -> None:
        """Tell every worker who is not served now, if that changed. A worker that is starting finds it behind its start message."""
        outs = self._outs()
        if outs == self._told:
            return
        self._told = outs
        for worker in self.workers.values():
            self._tell_tokens(worker)

    def _tell_tokens(self, worker: Process) -> None:
        # Its queue may be full. The last word is the one that counts, so it is said until it is taken.
        if worker.state is not State.GONE and not worker.say({"do": "tokens", "out": self._told}):
            self._loop.after(_AGAIN_SECONDS, lambda: self._tell_tokens(worker))

    def _outs(self) -> dict[str, list[str]]:
        return {user: [refusal.code.name, refusal.detail] for user, refusal in self.tokens.refusals.items() if user != CUSTODY}

    def _leave(self, tell: Callable[[Process], None]) -> None:
        if self.phase is not Phase.FAILED:
            self.phase = Phase.DRAINING
        for worker in list(self.workers.values()):
            tell(worker)
        if not self.workers and not self._is_gone:  # it may be told to stop by itself and by the master
            self._is_gone = True
            self._loop.after(0, lambda: self._on_gone(self))

    def _late(self, worker: Process) -> None:
        self._events.event(Code.DRAIN_TIMEOUT, generation=self.number, pid=worker.pid)

    def _start_worker(self, index: int) -> None:
        if self.phase not in (Phase.STARTING, Phase.SERVING):
            return
        fds = [self._parts.fd, *(self._listeners.fd(text) for text in self.endpoints)]
        listeners = [[at, text, parties] for at, (text, parties) in enumerate(self.endpoints.items(), 1)]
        part = self._parts.take()
        start = {
            **{"generation": self.number, "worker": index, "config": self.config, "listeners": listeners},
            **{"tokens": {"out": self._told}, "census": [0, part]},
        }
        waiting, self._waiting = self._waiting, None
        try:
            self.workers[index] = Process(
                self._loop,
                self._children,
                self._argv,
                start,
                self._message,
                lambda worker, how: self._exited(index, part, worker, how),
                fds,
                self._environment,
                waiting,
            )
        except OSError as error:
            self._parts.give_back(part)
            self._events.event(Code.START_FAILED, what="worker", detail=error.strerror)
            if self.phase is Phase.STARTING:
                self._fail()
            else:
                self._loop.after(self._backoffs[index].next_delay(0), lambda: self._start_worker(index))

    def _message(self, worker: Process, message: dict[str, Any]) -> None:
        kind = message.get("is")
        if kind == "ready" and worker.state is State.STARTING:
            worker.ready()
            ready = all(w.state is State.READY for w in self.workers.values()) and len(self.workers) == len(self._backoffs)
            if self.phase is Phase.STARTING and ready:
                self.phase = Phase.SERVING
                self._on_ready(self)
        elif kind in ("status", "drained") and isinstance(message.get("status"), dict):
            worker.last_status = {**message["status"], "answers": message.get("id")}
        elif kind == "failed":
            text = f"{message.get('code')}: {message.get('detail')}"
            self._events.event(Code.START_FAILED, what="worker", generation=self.number, detail=text)
            if self.phase is Phase.STARTING:
                self._fail()

    def _exited(self, index: int, part: int, worker: Process, how: str) -> None:
        self._parts.give_back(part)
        wanted_exit = self.phase in (Phase.DRAINING, Phase.FAILED)
        if self.workers.get(index) is worker:
            del self.workers[index]
        if worker.last_status is not None:
            self.past = add(self.past, without_now(shared(worker.last_status)))
        if wanted_exit:
            self._events.event(Code.DRAINED, generation=self.number, pid=worker.pid, how=how)
            if not self.workers:
                self._on_gone(self)
            return
        self._events.event(Code.WORKER_DIED, generation=self.number, worker=index, pid=worker.pid, how=how)
        if self.phase is Phase.STARTING:
            self._fail()
            return
        delay = self._backoffs[index].next_delay(time.monotonic() - worker.started)
        self._loop.after(delay, lambda: self._start_worker(index))

    def _fail(self) -> None:
        self.phase = Phase.FAILED
        self._on_failed(self)
        self.stop()
