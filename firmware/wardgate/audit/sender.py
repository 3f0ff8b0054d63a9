"""The audit sender: the process that keeps audit messages and sends them. Started by the master with its control socket's descriptor;
one that has an account of its own is `audit.apart`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from wardgate.audit.alerts import message_of
from wardgate.audit.event import AuditEvent, EventError
from wardgate.audit.intake import Intake
from wardgate.audit.line import Line, State
from wardgate.audit.marks import Marks
from wardgate.audit.message import xml
from wardgate.audit.spool import Spool
from wardgate.audit.syslog import encode
from wardgate.codes import Code
from wardgate.custody.files import lock
from wardgate.hold.port import ask
from wardgate.log import Log
from wardgate.policy.model import build
from wardgate.provision.floor import read_floor
from wardgate.relay.child import begin
from wardgate.relay.control import Control
from wardgate.relay.defects import traceback_of
from wardgate.relay.loop import Loop

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection
    from pathlib import Path

    from wardgate.policy.model import Config

APP_NAME: Final = "wardgate"
_STOP_SECONDS: Final = 5.0  # for what came last, before the process leaves; the spool keeps the rest
_TELL_SECONDS: Final = 60.0  # between alerts about messages that were dropped
_LEAVE_SECONDS: Final = 2.0


class Sender:
    """Spool, intake and one line a repository."""

    def __init__(self, config: Config, lists: Path, uids: Collection[int] = ()) -> None:
        """`lists`: directory of fetched CRLs; `uids`: accounts that may call besides this one and root."""
        assert config.audit is not None
        self._config, self._audit = config, config.audit
        self._box = config.box.name
        self._log = Log("audit")
        self._loop = Loop(self._defect)
        self._spool = Spool(str(self._audit.spool), self._audit.spool_mebibytes << 20)
        self._marks = Marks(str(self._audit.spool))
        self._lines: list[Line] = []
        self._lists = lists
        calls = (self._take, self._kept, self._answer, self._not_taken)
        self._intake = Intake(self._loop, str(config.audit_socket), *calls, uids, self._turned_away)
        self._lock = -1
        self._said_locked = False
        self._stop_at = 0.0
        self._failing = False
        self._told_lost: dict[str, int] = {}
        self._tell_at = 0.0
        self._loop.each_tick(self._tick)

    def stop(self) -> None:
        """End soon: what is connected may still have what came last. Also for a signal's handler."""
        if not self._stop_at:
            self._stop_at = time.monotonic() + _STOP_SECONDS

    def run(self) -> None:
        """Serve until told to stop."""
        try:
            os.makedirs(self._audit.spool, mode=0o700, exist_ok=True)
            self._open()
        except OSError as error:
            self._log.event(Code.AUDIT_NOT_WRITTEN, detail=error)
            raise SystemExit(1) from error
        self._serves()
        self._loop.run()
        self._close()

    # --- begin and end

    def _open(self) -> None:
        """Take the spool. An older sender, whose master died, is asked to leave it."""
        try:
            self._lock = lock(str(self._audit.spool))
        except BlockingIOError:
            if not self._said_locked:
                self._said_locked = True
                self._log.event(Code.AUDIT_LOCKED)
            self._ask_for_it()
            return
        positions = self._marks.load()
        self._spool.open(max(positions.values(), default=0))
        self._intake.listen()
        for repository in self._audit.repositories:
            floor = read_floor(self._config.box.state).seconds
            tell = self._teller(repository.name)
            at = positions.get(repository.name, self._spool.first)
            line = Line(repository, self._spool, at, self._lists, self._config.keys, floor, tell)
            self._lines.append(line)
            line.start()
        waiting = self._spool.next - self._spool.first
        self._log.event(Code.AUDIT_STARTED, repositories=len(self._lines), waiting=waiting)
        if self._spool.damaged or self._marks.unreadable:
            self._alert(Code.AUDIT_SPOOL_DAMAGED, "", {"detail": f"{self._spool.damaged} files"})

    def _close(self) -> None:
        if self._lock < 0:
            return
        self._intake.finish()
        for line in self._lines:
            line.end()
        for line in self._lines:
            line.join(_LEAVE_SECONDS)
        self._keep_marks()
        os.close(self._lock)

    def _leave_if_done(self) -> None:
        if self._loop.now >= self._stop_at or all(line.idle or line.state is State.PAUSED for line in self._lines):
            self._loop.stop()

    # --- events

    def _take(self, event: AuditEvent) -> None:
        """Write one event as the message that repositories get."""
        message = message_of(event, self._box, self._audit.source_id or self._box, self._audit.site_id)
        if message is None:
            raise EventError(f"code {event.code} is not audited")
        process = event.who
        data = encode(event.time_ns, self._box, APP_NAME, process, self._audit.message_id.value, xml(message))
        self._spool.append(data)

    def _kept(self) -> None:
        self._spool.sync()
        self._failing = False

    def _not_taken(self, error: Exception) -> None:
        if isinstance(error, ValueError):
            self._log.event(Code.AUDIT_EVENT_REFUSED, detail=error)
        else:
            self._failing = True
            self._log.event(Code.AUDIT_NOT_WRITTEN, detail=error)

    def _alert(self, code: Code, peer: str, fields: dict[str, Any]) -> None:
        """Log what happened to the audit itself, and have it audited."""
        self._log.event(code, peer, **fields)
        try:
            self._take(AuditEvent.of(code, time.time_ns(), "audit", peer, fields))
            self._spool.sync()
        except OSError as error:
            self._not_taken(error)

    # --- what is asked

    def _turned_away(self, uid: int) -> None:
        self._log.event(Code.AUDIT_STRANGER, detail=f"user {uid}")

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question.get("do") == "status":
            return {
                "ok": True,
                "spooled": self._spool.next - self._spool.first,
                "bytes": self._spool.size,
                "bound": self._spool.bound,
                "emitters": self._intake.emitters,
                "failing": self._failing,
                "repositories": [line.report() for line in self._lines],
            }
        return {"ok": False, "error": "not a question"}

    # --- the loop

    def _tick(self) -> None:
        if self._lock < 0:
            if self._stop_at:
                self._loop.stop()
            else:
                self._open()
            return
        self._keep_marks()
        self._tell_lost()
        if self._stop_at:
            self._leave_if_done()

    def _keep_marks(self) -> None:
        try:
            self._marks.keep({line.repository.name: line.position for line in self._lines})
            self._spool.forget_below(min((line.position for line in self._lines), default=0))
        except OSError as error:
            self._not_taken(error)

    def _tell_lost(self) -> None:
        if self._loop.now < self._tell_at:
            return
        for line in self._lines:
            name = line.repository.name
            count = line.lost - self._told_lost.get(name, 0)
            if count:
                self._tell_at = self._loop.now + _TELL_SECONDS
                self._told_lost[name] = line.lost
                self._alert(Code.AUDIT_DROPPED, name, {"detail": f"{count} messages"})

    def _teller(self, name: str) -> Callable[[Code, dict[str, Any]], None]:
        return lambda code, fields: self._loop.call(lambda: self._log.event(code, name, **fields))

    # --- of whom it is: see `Child`, `audit.apart`

    def _serves(self) -> None:
        """It serves, or waits for the spool."""

    def _ask_for_it(self) -> None:
        """Another sender has the spool."""

    def _defect(self, error: Exception) -> None:
        self._log.event(Code.WORKER_DEFECT, detail=f"{type(error).__name__}: {error}", where=traceback_of(error))


class Child(Sender):
    """One that the master starts and ends."""

    def __init__(self, control: socket.socket, start: dict[str, Any]) -> None:
        config = build(start["config"])
        super().__init__(config, config.box.run_dir / "crl")
        self._control = Control(self._loop, control, self._told_by_master, self._master_gone)

    def _serves(self) -> None:
        self._control.say({"is": "ready"})

    def _ask_for_it(self) -> None:
        try:
            ask(str(self._config.audit_socket), {"do": "leave"}, _LEAVE_SECONDS)
        except (OSError, ValueError):
            pass  # it has gone meanwhile, or is about to

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question.get("do") == "leave":
            self._log.event(Code.STOPPING)
            self._loop.soon(self._loop.stop)
            return {"ok": True}
        return super()._answer(question)

    def _told_by_master(self, message: dict[str, Any]) -> None:
        if message.get("do") == "stop":
            self.stop()

    def _master_gone(self) -> None:
        # Workers that finish their associations still have something to say; the next sender will ask for the spool.
        self._loop.each_tick(self._leave_if_alone)

    def _leave_if_alone(self) -> None:
        if not self._intake.emitters:
            self._loop.stop()


def main() -> int:
    """Take the start message from the control socket, serve, leave."""
    return begin("wardgate.audit.sender", lambda control, start: Child(control, start).run)


if __name__ == "__main__":
    sys.exit(main())
