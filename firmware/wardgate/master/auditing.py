"""The audit as the master sees it: the sender process, and the master's own events on their way to it.

A sender that has an account of its own (`audit.socket`) is the service manager's: the master looks whether it is there, has it look for
another policy, and ends nothing.
"""

from __future__ import annotations

from wardgate.codes import Code
from wardgate.master.companion import Companion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.audit.outbox import Outbox
    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop
    from wardgate.master.process import Process

_TURN_SECONDS = 0.5
_MISSING_TURNS = 120  # a sender of its own account has not been there since the start: told once
_KEPT_TURNS = 6  # at the end: for what was said last to be on the disk


class Auditing:
    """`prepare` with each configuration, so that nothing is missed; `use` when it serves."""

    def __init__(self, loop: Loop, children: Children, events: Events, argv: tuple[str, ...]) -> None:
        self._loop, self._events = loop, events
        self._sender = Companion(loop, children, events, "audit sender", argv, _is_child, Code.AUDIT_SENDER_DIED)
        self._outbox: Outbox | None = None
        self._turning = False
        self._apart = False  # the sender has an account of its own
        self._there = 0  # its process id when it was last seen
        self._missing = 0  # turns without one

    @property
    def pid(self) -> int:
        """The sender's process id, 0 when there is none."""
        return self._there if self._apart else self._sender.pid

    @property
    def processes(self) -> list[Process]:
        """The sender, while there is one."""
        return self._sender.processes

    def prepare(self, config: dict[str, Any]) -> None:
        """From now on the master's own events are audited, or not."""
        if not _wanted(config):
            if self._outbox is not None:
                self._outbox.close()
            self._outbox = self._events.outbox = None
        elif self._outbox is None:
            from wardgate.audit.outbox import Outbox, socket_of

            self._apart = not _is_child(config)
            self._outbox = self._events.outbox = Outbox(socket_of(config), config["box"]["name"])
            if not self._turning:
                self._turning = True
                self._turn()

    def use(self, answer: dict[str, Any]) -> None:
        """Serve this configuration."""
        self.prepare(answer["config"])
        self._sender.use(answer)
        if self._apart and self._outbox is not None:
            self._outbox.ask_policy()

    def stop(self, done: Callable[[], None]) -> None:
        """End the sender, after it has kept what the master said last. `done()` follows."""
        self._stop(done, _KEPT_TURNS if self.pid else 0)

    def report(self) -> dict[str, int] | None:
        """Return what the status shows of the master's own events."""
        return None if self._outbox is None else {"now": self._outbox.waiting, "lost": self._outbox.lost}

    def _stop(self, done: Callable[[], None], turns: int) -> None:
        if turns and self._outbox is not None and self._outbox.waiting:
            self._outbox.turn()
            self._loop.after(_TURN_SECONDS, lambda: self._stop(done, turns - 1))
        else:
            self._sender.stop(done)

    def _turn(self) -> None:
        if self._outbox is None:
            self._turning = False
            return
        self._outbox.turn()
        if self._apart:
            self._look(self._outbox.sender, self._outbox.leaves)
        self._loop.after(_TURN_SECONDS, self._turn)

    def _look(self, pid: int, leaves: bool) -> None:
        """The sender of an account of its own is there, or not (0). A connection that ended is seen so for one turn at least."""
        if self._there and not pid and not leaves:
            self._events.event(Code.AUDIT_SENDER_DIED, pid=self._there, how="its line ended")
        self._there = pid
        self._missing = 0 if pid else self._missing + 1
        if self._missing == _MISSING_TURNS:
            self._events.event(Code.START_FAILED, what="audit sender", detail="it does not answer")


def _wanted(config: dict[str, Any]) -> bool:
    return config.get("audit") is not None


def _is_child(config: dict[str, Any]) -> bool:
    return _wanted(config) and not config["audit"].get("socket")
