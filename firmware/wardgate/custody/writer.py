"""The custody writer: one process, one epoll loop, one sync for all that the workers sent meanwhile (group commit).

`python -m wardgate.custody.writer --log DIR --socket PATH --origin NAME --key FILE ...` (see `options`).
A worker that goes leaves its open entries closed as "outcome unknown"; a writer that comes waits for its workers to reclaim theirs.
Before it closes an entry it puts in what instances in hold carry of it: they were acknowledged with the text of their records.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardgate.custody import wire
from wardgate.custody.background import NEVER, RETRY_SECONDS, Background
from wardgate.custody.catchup import Find, catch_up
from wardgate.custody.connection import Connection, is_allowed
from wardgate.custody.control import Control
from wardgate.custody.files import lock
from wardgate.custody.journal import Journal
from wardgate.custody.ledger import free_bytes
from wardgate.custody.logkey import LogKey, SignerAway, signer_for
from wardgate.custody.note import NoteError
from wardgate.custody.options import Options, UsageError, parse_options
from wardgate.custody.recover import Damaged
from wardgate.custody.seal import Sealer, read_checkpoint
from wardgate.custody.state import Entry
from wardgate.custody.tokennews import TokenBook
from wardgate.custody.wire import ANSWER, NO_INDEX, QUEUE_IS, Op, Status
from wardgate.log import Log
from wardgate.notify import Notifier
from wardgate.unixsocket import listening

_OPEN, _STORE, _CLOSE, _RESERVE, _EVENT = (int(op) for op in (Op.OPEN, Op.STORE, Op.CLOSE, Op.RESERVE, Op.EVENT))
_HELLO, _YIELD = int(Op.HELLO), int(Op.YIELD)
_OK, _IO_ERROR, _REFUSED = int(Status.OK), int(Status.IO_ERROR), int(Status.REFUSED)
_HAS: Final = int(Op.HAS)
_RECORDS: Final = (_OPEN, _STORE, _CLOSE, _RESERVE, _EVENT, _HAS)
_MAX_CONNECTIONS: Final = 256
_BACKLOG: Final = 128
MAX_EVENTS: Final = 64  # of one turn
_TERM_SECONDS: Final = 5.0
_YIELD_SECONDS: Final = 10.0


class Writer:
    """The loop. Owns the lock, the journal, the listening socket; the sealer works in a thread beside it."""

    def __init__(
        self, options: Options, log: Log, journal: Journal, sealer: Sealer, key: LogKey, queue_at: Callable[[str], Find] | None = None
    ) -> None:
        """`queue_at` gives who looks into a queue of instances in hold."""
        self._options = options
        self._queue_at = queue_at
        self._queue = options.queue
        self._log = log
        self._journal = journal
        self._listener: socket.socket | None = None
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._dirty: list[Connection] = []  # have answers
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._background = Background(options, log, journal, sealer, key, self._wake_write)
        self._control = Control(options, log, self._epoll)
        self._tokens = TokenBook(options, log, journal, self._background, self._control)
        self._notifier = Notifier()
        self._repair_at = 0.0  # when to try again while the journal is broken
        self._reclaim_at = NEVER
        self._stop_at = NEVER
        self._work_at = 0.0  # when something is due in the background, as the end of a turn sees it
        self._leaving = False
        self._yielded: Connection | None = None
        self._master_gone = False
        self.status = 0

    def run(self) -> None:
        """Serve until told to go; returns with everything synced."""
        epoll = self._epoll
        epoll.register(self._wake_read, select.EPOLLIN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._listener = listening(self._options.socket, _BACKLOG, self._mode)  # from here on it is there, and may be told to go
        epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._log.event(
            Code.CUSTODY_STARTED, durable=self._journal.durable, signed=self._journal.signed, open_entries=len(self._journal.state.open)
        )
        if self._journal.state.open:
            self._reclaim_at = time.monotonic() + (0.0 if self._options.fresh else self._options.reclaim_seconds)
            self._catch_up(list(self._journal.state.open.values()))
            self._commit()
        self._background.prepare()
        if self._options.control:
            self._control.open(listening(self._options.control, _BACKLOG, self._mode))
        self._notifier.settled()  # it was longer, for a long log
        self._notifier.ready(f"{self._journal.durable} records")
        while not self._leaving:
            if self._notifier.interval is not None:
                self._notifier.turned(time.monotonic())
            self._turn(epoll.poll(self._timeout(), MAX_EVENTS))
        self._notifier.stopping("signs what it has")
        self._background.finish(sign=self._yielded is None)

    def close(self) -> None:
        """Close what is open. The lock is released by the caller, last."""
        with contextlib.suppress(OSError):
            self._journal.close()
        for connection in self._connections.values():
            connection.socket.close()
        if self._listener is not None:
            self._listener.close()
        self._control.close()
        self._epoll.close()

    def _turn(self, events: list[tuple[int, int]]) -> None:
        connections = self._connections
        self._background.look()
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is not None:
                if mask & select.EPOLLOUT:
                    self._send(connection)
                if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and connections.get(fd) is connection:
                    self._read(connection)
            elif fd == self._wake_read:
                self._woken()
            elif self._listener is not None and fd == self._listener.fileno():
                self._accept(self._listener)
            elif fd == self._control.door:
                if self._control.accept():
                    self._tokens.called()
            elif fd == self._control.fd:
                self._told()
        self._tokens.write()
        if self._journal.pending:
            self._commit()
        self._tokens.settle()
        for connection in self._dirty:
            self._send(connection)
        self._dirty.clear()
        if self._journal.pending:  # a connection was lost while we answered
            self._commit()
        if self._yielded is not None:
            self._leaving = True
            return
        self._timers()

    # --- items -----------------------------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> None:
        packet = connection.receive()
        if packet is None:
            return
        if not packet:
            self._lost(connection)
            return
        if not connection.answers:
            self._dirty.append(connection)
        add = connection.answers.append
        pack = ANSWER.pack
        journal = self._journal
        submit, broken = journal.submit, journal.broken
        try:
            for op, request, association, seq, payload in wire.decode_items(packet):
                if broken and op in _RECORDS:
                    status, index = _IO_ERROR, NO_INDEX
                elif op in (_STORE, _CLOSE):
                    status, index = submit(connection, op, association, seq, payload)
                elif op == _OPEN:
                    status, index = journal.begin(connection, association, seq, payload)
                elif op == _RESERVE:
                    status, index = journal.extend(connection, association, payload)
                elif op == _HAS:
                    status, index = journal.has(association, seq), NO_INDEX
                elif op == _EVENT:
                    status, index = journal.event(association, payload)
                else:
                    status, index = self._other(connection, op, payload)
                add(pack(request, status, index))
        except wire.WireError as error:
            self._log.event(Code.CUSTODY_WIRE, connection.name, detail=error)
            self._lost(connection)

    def _other(self, connection: Connection, op: int, payload: bytes) -> tuple[int, int]:
        if op == _HELLO:
            name, associations = wire.decode_hello(payload)
            connection.name = name
            connection.is_worker = True
            for association in associations:
                entry = self._journal.state.open.get(association)
                if entry is not None and entry.owner is None:
                    entry.owner = connection
            return _OK, NO_INDEX
        if op == _YIELD and not self._options.control:  # one that the service manager keeps goes when that says so
            self._log.event(Code.CUSTODY_YIELD)
            self._yielded = connection
            return _OK, NO_INDEX
        if op == Op.PING:
            return _OK, NO_INDEX
        if op == Op.STAT:
            connection.packets.append(wire.REPORT_KIND + self._report())
            return _OK, NO_INDEX
        return _REFUSED, NO_INDEX

    def _commit(self) -> None:
        journal = self._journal
        if not journal.broken:
            try:
                journal.commit()
                return
            except OSError as error:
                self._log.event(Code.CUSTODY_WRITE_FAILED, detail=error)
                self._repair_at = time.monotonic()
        journal.drop()
        for connection in self._dirty:
            connection.answers = [
                ANSWER.pack(request, status or _IO_ERROR, NO_INDEX) for request, status, _ in map(ANSWER.unpack, connection.answers)
            ]

    def _lost(self, connection: Connection) -> None:
        """A connection ended: nobody will say what became of its instances."""
        self._epoll.unregister(connection.fd)
        del self._connections[connection.fd]
        connection.socket.close()
        connection.answers.clear()
        connection.packets.clear()
        entries = [entry for entry in self._journal.state.open.values() if entry.owner is connection]
        if entries:
            self._log.event(Code.CUSTODY_WORKER_LOST, connection.name, open_entries=len(entries))
        if not self._journal.broken:
            if self._catch_up(entries):
                for entry in entries:
                    self._journal.give_up(entry, "worker-lost")
            else:
                self._reclaim_at = min(self._reclaim_at, time.monotonic() + RETRY_SECONDS)
        if self._master_gone and not self._has_workers():
            self._stop_at = time.monotonic()

    def _give_up_orphans(self, why: str) -> None:
        alive = set(self._connections.values())
        entries = [entry for entry in self._journal.state.open.values() if entry.owner not in alive]
        if entries:
            if not self._catch_up(entries):
                self._reclaim_at = time.monotonic() + RETRY_SECONDS
                return
            self._log.event(Code.CUSTODY_UNCLAIMED, open_entries=len(entries))
            for entry in entries:
                self._journal.give_up(entry, why)
            self._commit()

    def _catch_up(self, entries: list[Entry]) -> bool:
        """Put into the batch what instances in hold carry for these entries; false: not now, so they stay open."""
        if not entries or not self._queue or self._queue_at is None:
            return True
        try:
            added = catch_up(self._journal, entries, self._queue_at(self._queue))
        except OSError as error:
            self._log.event(Code.CUSTODY_CANNOT_CATCH_UP, self._queue, detail=error, open_entries=len(entries))
            return False
        if added:
            self._log.event(Code.CUSTODY_CAUGHT_UP, records=added)
        return True

    # --- sockets ---------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        if not is_allowed(sock, self._options.uids) or len(self._connections) >= _MAX_CONNECTIONS:
            self._log.event(Code.CUSTODY_STRANGER)
            sock.close()
            return
        connection = Connection(sock)
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)

    def _send(self, connection: Connection) -> None:
        if self._connections.get(connection.fd) is not connection:  # lost in this turn; its number may be another's by now
            return
        blocked = connection.send()
        if blocked is None:
            self._lost(connection)
        elif blocked != connection.blocked:
            connection.blocked = blocked
            self._epoll.modify(connection.fd, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))

    @property
    def _mode(self) -> int:
        """Of a socket: where other accounts may call, those of its group reach it, and the kernel says who they are."""
        return 0o660 if self._options.uids else 0o600

    def _has_workers(self) -> bool:
        return any(connection.is_worker for connection in self._connections.values())

    def _told(self) -> None:
        """The master tells the state of tokens, or the queue. The end of its line means that it died: a child follows it."""
        data = self._control.read()
        if data is None:
            return
        if data.startswith(QUEUE_IS):
            self._queue = os.fsdecode(data[len(QUEUE_IS) :])
            return
        if data:
            self._tokens.told(data)
            return
        if self._options.control:
            return
        self._master_gone = True
        if not self._has_workers():
            self._stop_at = time.monotonic()

    # --- time ------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + (_TERM_SECONDS if self._has_workers() else 0.0))
        self._master_gone = True  # from now on the last worker's end is ours

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        self._background.collect()

    def _timeout(self) -> float:
        due = self._work_at
        if self._notifier.interval is not None:
            due = min(due, time.monotonic() + self._notifier.interval)
        if self._stop_at < due:
            due = self._stop_at
        if not self._journal.broken:
            if self._reclaim_at < due:
                due = self._reclaim_at
        elif not self._background.busy and self._repair_at < due:
            due = self._repair_at
        if due == NEVER:
            return -1
        wait = due - time.monotonic()
        return wait if wait > 0.0 else 0.0

    def _timers(self) -> None:
        now = time.monotonic()
        if self._journal.broken and self._repair_at <= now and not self._background.busy:
            self._repair()
        if self._reclaim_at <= now and not self._journal.broken:
            self._reclaim_at = NEVER
            self._give_up_orphans("writer-restarted")
        self._work_at = self._background.due()
        if self._work_at <= now:
            self._background.work()
            self._work_at = self._background.due()
        if self._stop_at <= now:
            self._leaving = True

    def _repair(self) -> None:
        self._repair_at = time.monotonic() + RETRY_SECONDS
        try:
            self._journal.repair()
        except OSError as error:
            self._log.event(Code.CUSTODY_WRITE_FAILED, "repair", detail=error)
            return
        except Damaged as error:
            self._log.event(Code.CUSTODY_DAMAGED, detail=error)
            self.status = 4
            self._leaving = True
            return
        self._log.event(Code.CUSTODY_REPAIRED, durable=self._journal.durable)
        if self._reclaim_at == NEVER:
            self._give_up_orphans("worker-lost")
        self._background.prepare()

    def _report(self) -> bytes:
        import json

        journal = self._journal
        return json.dumps(
            {
                "durable": journal.durable,
                "signed": journal.signed,
                "checkpoint_time": self._background.checkpoint_time,
                "free_bytes": free_bytes(journal.directory),
                "open_entries": len(journal.state.open),
                "oldest_open": min((entry.opened for entry in journal.state.open.values()), default=journal.state.next_index),
                "reserved_bytes": journal.state.reserved,
                "workers": sum(connection.is_worker for connection in self._connections.values()),
                "sync": self._options.durable,
                "broken": journal.broken,
                **self._tokens.report(),
            }
        ).encode()


def take_lock(options: Options, log: Log) -> int:
    """Lock the log directory, asking a writer that holds it to go. Raises `BlockingIOError` after ten seconds."""
    try:
        return lock(options.log)
    except BlockingIOError:
        log.event(Code.CUSTODY_TAKEOVER)
    from wardgate.custody.client import WriterGone, ask

    deadline = time.monotonic() + _YIELD_SECONDS
    with contextlib.suppress(WriterGone):
        ask(options.socket, Op.YIELD, _YIELD_SECONDS)
    while True:
        try:
            return lock(options.log)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def enter_class(processors: int) -> None:
    """Be scheduled as the writer's work asks for; a kernel, or a unit, that does not let us has said already what holds.

    On one processor it waits for the workers' turn to end instead of interrupting it for every record: one sync then serves more. On
    several it goes first, for as long as it works: all that workers have asked for waits for it. Its threads and children do not.
    """
    policy, priority = (os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1) if processors > 1 else (os.SCHED_BATCH, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(priority))


def main(arguments: list[str], queue_at: Callable[[str], Find] | None = None) -> int:
    """Run the writer. Exit status: 0 asked to go, 2 usage, 3 cannot begin, 4 the log contradicts itself."""
    try:
        options = parse_options(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log = Log("custody")
    enter_class(len(os.sched_getaffinity(0)))
    sys.setswitchinterval(0.001)  # the sealer's thread may not keep the loop waiting
    try:
        os.makedirs(options.log, 0o750, exist_ok=True)
        lock_fd = take_lock(options, log)
    except OSError as error:
        log.event(Code.CUSTODY_LOCKED, options.log, detail=error)
        return 3
    try:
        key = LogKey(options.log, options.origin, signer_for(options.key, options.keys_socket))
        with contextlib.suppress(SignerAway):  # records are taken all the same; they are signed when it is back
            key.claim()
        sealer = Sealer(options.log, key)
        checkpoint = read_checkpoint(options.log)
        journal = Journal(options.log, options.durable == "group", checkpoint.size if checkpoint else 0)
    except (Damaged, NoteError) as error:
        log.event(Code.CUSTODY_DAMAGED, detail=error)
        return 4
    except (OSError, ValueError, TypeError) as error:
        log.event(Code.CUSTODY_CANNOT_START, detail=error)
        return 3
    if journal.torn:
        log.event(Code.CUSTODY_TORN_TAIL, bytes_dropped=journal.torn, durable=journal.durable)
    if journal.missing:
        log.event(Code.CUSTODY_WAL_MISSING, signed=journal.signed)
    if options.durable == "none":
        log.event(Code.CUSTODY_NOT_DURABLE)
    writer = Writer(options, log, journal, sealer, key, queue_at)
    try:
        writer.run()
    finally:
        writer.close()
        os.close(lock_fd)
    log.event(Code.CUSTODY_STOPPED, durable=journal.durable, signed=journal.signed)
    return writer.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
