"""Where an audit event leaves the process in which it happened: towards the audit sender, without ever waiting for it.

Events stay here, in bounded number, until the sender says that they are on its disk; when it dies or is started anew they are said again.
What finds no room is counted and told. A flood of one kind from one peer is summed up.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque

from wardgate.audit.alerts import AUDITED
from wardgate.audit.event import MAX_PACKET, AuditEvent, EventError, decode, packet
from wardgate.codes import Code
from wardgate.custody.connection import peer_of
from wardgate.log import Repeats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_WAITING = 512
NAME = "audit.sock"


def socket_of(config: dict[str, Any]) -> str:
    """Return where the audit sender of a configuration (plain data) takes events."""
    return str((config.get("audit") or {}).get("socket") or os.path.join(config["box"]["run_dir"], NAME))


class Outbox:
    """One a process. `put` and `turn` are for one thread; `turn` is to be called about every half second."""

    def __init__(self, path: str | os.PathLike[str], who: str, clock: Callable[[], int] = time.time_ns, waiting: int = MAX_WAITING) -> None:
        """`path`: of the sender's socket; `who`: the name of this process in the log; `waiting`: bound of `waiting`."""
        self._path = os.fspath(path)
        self._who, self._clock, self._bound = who, clock, waiting
        self._repeats = Repeats()
        self._waiting: deque[tuple[int, AuditEvent]] = deque()
        self._number = 0
        self._said = 0  # all up to this number were said on this connection
        self._socket: socket.socket | None = None
        self._untold = 0
        self.lost = 0  # that found no room
        self.leaves = False  # the sender said that it leaves, for another one with another policy

    @property
    def waiting(self) -> int:
        """How many the sender has not kept yet."""
        return len(self._waiting)

    @property
    def sender(self) -> int:
        """The process id of the sender that is connected, 0 without one."""
        return peer_of(self._socket)[0] if self._socket is not None else 0

    def ask_policy(self) -> None:
        """Have a sender that is not the gateway's child see whether the policy is another one."""
        if self._socket is not None:
            try:
                self._socket.send(json.dumps({"do": "policy"}).encode("ascii"))
            except OSError:
                pass  # the next one begins with the policy that is there

    def put(self, code: Code, peer: str, fields: dict[str, Any], time_ns: int | None = None) -> None:
        """Take an event, if its code is audited. `time_ns`: when it happened, now without it."""
        if code.value.number in AUDITED:
            before = self._repeats.passes(code, _host(fields.get("at")) or peer, time.monotonic())
            if before is not None:
                self._add(code, peer, {**fields, "repeated": before} if before else fields, time_ns)
                self._say()

    def turn(self) -> None:
        """Sum up what was swallowed; connect, say what was not said, hear what is kept."""
        for code, peer, count in self._repeats.over(time.monotonic()):
            self._add(code, peer, {"repeated": count})
        if self._untold and len(self._waiting) < self._bound:
            count, self._untold = self._untold, 0
            self._add(Code.AUDIT_EVENTS_LOST, "", {"detail": f"{count} events"})
        self._connect()  # also with nothing to say: the sender stays as long as somebody is there
        self._hear()
        self._say()

    def wait(self, seconds: float) -> bool:
        """Wait until everything is kept, for a process that is about to end; false when it is not by then."""
        until = time.monotonic() + seconds
        self.turn()
        while self._waiting and time.monotonic() < until:
            time.sleep(0.02)
            self.turn()
        return not self._waiting

    def close(self) -> None:
        """Say no more."""
        self._drop()

    def _add(self, code: Code, peer: str, fields: dict[str, Any], time_ns: int | None = None) -> None:
        if len(self._waiting) >= self._bound:
            self.lost += 1
            self._untold += 1
            return
        self._number += 1
        self._waiting.append((self._number, AuditEvent.of(code, self._clock() if time_ns is None else time_ns, self._who, peer, fields)))

    def _say(self) -> None:
        if not self._waiting or self._waiting[-1][0] <= self._said or not self._connect():
            return
        assert self._socket is not None
        try:
            for number, event in self._waiting:
                if number > self._said:
                    self._socket.send(packet(number, event))
                    self._said = number
        except BlockingIOError:
            pass  # the rest goes at the next turn
        except OSError:
            self._drop()

    def _connect(self) -> bool:
        if self._socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                return False
            self._socket = sock
            self.leaves = False
        return True

    def _hear(self) -> None:
        try:
            while self._socket is not None:
                data = self._socket.recv(MAX_PACKET)
                found = decode(data) if data else {}
                if "ok" in found:  # the answer to `ask_policy`
                    self.leaves = found.get("leaves") is True
                    continue
                kept = found.get("kept")
                if type(kept) is not int:
                    self._drop()
                    return
                while self._waiting and self._waiting[0][0] <= kept:
                    self._waiting.popleft()
        except BlockingIOError:
            pass
        except (OSError, EventError):
            self._drop()

    def _drop(self) -> None:
        """The sender is gone: what it has not kept is said again to the next one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._said = 0


def _host(address: object) -> str:
    return str(address or "").rpartition(":")[0]
