"""Asks every worker for its status and adds the answers up, within a second."""

from __future__ import annotations

import os
import time

from wardgate.master.children import memory_bytes
from wardgate.master.process import Process, State
from wardgate.master.totals import add, shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wardgate.master.generation import Generation
    from wardgate.master.loop import Loop

_SECONDS = 1.0
_POLL_SECONDS = 0.02


class Asking:
    """One round: `done(generations, totals)` is called once."""

    _last_id = 0

    def __init__(
        self,
        loop: Loop,
        generations: Sequence[Generation],
        past: dict[str, Any],
        done: Callable[[list[dict[str, Any]], dict[str, Any]], None],
    ) -> None:
        Asking._last_id += 1
        self._id = Asking._last_id
        self._loop, self._generations, self._past, self._done = loop, list(generations), past, done
        self._until = time.monotonic() + _SECONDS
        self._asked = [
            worker
            for generation in self._generations
            for worker in generation.workers.values()
            if worker.state in (State.READY, State.DRAINING) and worker.say({"do": "status", "id": self._id})
        ]
        self._look()

    def _answered(self, worker: Process) -> bool:
        answers = (worker.last_status or {}).get("answers")
        return worker.state is State.GONE or (isinstance(answers, int) and answers >= self._id)

    def _look(self) -> None:
        if time.monotonic() < self._until and not all(self._answered(worker) for worker in self._asked):
            self._loop.after(_POLL_SECONDS, self._look)
            return
        totals = self._past
        for generation in self._generations:
            totals = add(totals, generation.past)
            for worker in generation.workers.values():
                totals = add(totals, shared(worker.last_status or {}))
        self._done([self._shown(generation) for generation in self._generations], totals)

    def _shown(self, generation: Generation) -> dict[str, Any]:
        workers = [
            {
                "worker": index,
                "pid": worker.pid,
                "state": worker.state.value,
                "answers": worker not in self._asked or self._answered(worker),
                "memory_bytes": memory_bytes(worker.pid),
            }
            for index, worker in sorted(generation.workers.items())
        ]
        return {"generation": generation.number, "phase": generation.phase.value, "workers": workers}


def own_memory() -> dict[str, int]:
    """Return pid and resident size of this process."""
    return {"pid": os.getpid(), "memory_bytes": memory_bytes(os.getpid())}
