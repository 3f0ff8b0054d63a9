"""The key service's own thread: takes connections and requests, hands them to the threads of the tokens, keeps deadlines, tells watchers.

Whatever a token does, connections are accepted, deadlines kept and states told: modules are called by the threads of the tokens, or here
under a `Baton`.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import socket
import stat
import time
from collections import deque
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.notify import Notifier
from wardkeys import wire
from wardkeys.baton import Baton
from wardkeys.config import Config
from wardkeys.errors import KeyServiceError
from wardkeys.gather import Gather
from wardkeys.lookout import Lookout
from wardkeys.operations import OPERATIONS
from wardkeys.permit import Permits
from wardkeys.request import MAX_WAITING, Connection, Request
from wardkeys.router import Router, parsed
from wardkeys.token import TokenThread
from wardkeys.wire import Op

_TICK_SECONDS: Final = 0.2
_BATCH: Final = 32
_TURN_SECONDS: Final = 0.002  # for calls of tokens in one turn of the loop, where other tokens may be asked meanwhile
_SETTLE_SECONDS: Final = 5.0
_ANYBODY: Final = 0o666
_STOP_SECONDS: Final = 2.0
_RESERVED_DESCRIPTORS: Final = 64  # of modules, listener, epoll


class Service:
    """Everything of a running key service but its configuration file and its signals."""

    def __init__(self, config: Config, tokens: list[TokenThread], log: Log) -> None:
        self._config = config
        self._router = Router(tokens)
        self._tokens = tokens
        self._log = log
        spare = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_DESCRIPTORS
        self._max_connections = max(1, min(config.max_connections, spare))  # out of descriptors, accept() would fail for ever
        self._permits = Permits(config.grants)
        self._refused: set[tuple[int, int]] = set()  # user and operation: told once
        self._uids = config.uids | {os.geteuid()}
        self._connections: dict[int, Connection] = {}
        self._gathering: deque[Gather] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._notifier = Notifier()
        self._stop = False
        self._dirty = False
        self._next_tick = 0.0
        self._calls_end = math.inf  # monotonic: until then this turn of the loop may call tokens itself
        self._listener = _listen(config.socket)
        self._baton = Baton(self._loop)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(self._wake, select.EPOLLIN)
        self._lookout = Lookout(self._poll)

    @property
    def bell(self) -> int:
        """A descriptor to be written to for each signal (`signal.set_wakeup_fd`)."""
        return self._baton.bell

    def changed(self) -> None:
        """Some token changed its state. From any thread."""
        self._dirty = True
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """End soon. From any thread, and from a signal handler."""
        self._stop = True
        os.eventfd_write(self._wake, 1)

    def reload(self) -> None:
        """Look at the PIN files again."""
        self._log.event(Code.KEYS_RELOADED)
        for token in self._tokens:
            token.reload()

    def run(self) -> None:
        """Serve until `stop`."""
        limit = time.monotonic() + _SETTLE_SECONDS
        for token in self._tokens:
            token.settled.wait(max(0.0, limit - time.monotonic()))
        self._listener.listen(128)
        self._notifier.ready(f"{len(self._tokens)} tokens")
        self._log.event(Code.KEYS_STARTED, socket=self._config.socket, tokens=len(self._tokens))
        self._baton.start()
        self._baton.wait()
        self._end()

    def _loop(self) -> None:
        """Run until `stop`, or until the baton is lost: then the other thread finds here all that it needs."""
        listener, wake = self._listener.fileno(), self._wake
        while not self._stop:
            busy = any(token.pending for token in self._tokens) or self._gathering
            ready = self._lookout.look() or self._poll.poll(_TICK_SECONDS if busy else self._notifier.interval, 64)
            if len(self._tokens) > 1:
                self._calls_end = time.monotonic() + _TURN_SECONDS
            for fd, _ in ready:
                if fd == listener:
                    self._accept()
                elif fd == wake:
                    os.eventfd_read(wake)
                elif (connection := self._connections.get(fd)) is not None:
                    self._receive(connection)
            now = time.monotonic()
            self._notifier.turned(now)
            if busy and now > self._next_tick:
                self._next_tick = now + _TICK_SECONDS
                self._keep_deadlines(now)
            if self._dirty:
                self._tell()

    # --- connections

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            if connection.uid not in self._uids | self._config.watchers:
                self._log.event(Code.KEYS_STRANGER, peer=f"uid {connection.uid}", pid=connection.pid)
                self._turn_away(connection, Code.KEYS_STRANGER, f"uid {connection.uid}")
            elif len(self._connections) >= self._max_connections:
                self._log.event(Code.KEYS_CROWDED, peer=f"uid {connection.uid}", pid=connection.pid)
                self._turn_away(connection, Code.KEYS_CROWDED, f"{len(self._connections)} connections")
            else:
                self._connections[connection.fd] = connection
                self._poll.register(connection.fd, select.EPOLLIN)
                self._receive(connection)  # a caller connects and sends at once

    def _turn_away(self, connection: Connection, code: Code, detail: str) -> None:
        connection.send(wire.encode_failure(0, 0, code.value.number, detail))
        connection.close()

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is not None:
            self._poll.unregister(connection.fd)
            connection.close()

    def _receive(self, connection: Connection) -> None:
        try:
            packet = connection.socket.recv(wire.MAX_PACKET + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._drop(connection)
            return
        try:
            op, number, fields = wire.decode_request(packet)
            if number in connection.waiting:
                raise wire.WireError(f"id {number} is in use")
        except wire.WireError as error:
            self._log.event(Code.KEYS_WIRE, peer=f"uid {connection.uid}", pid=connection.pid, detail=error)
            connection.send(wire.encode_failure(0, 0, Code.KEYS_WIRE.value.number, str(error)))
            self._drop(connection)
            return
        request = Request(connection, op, number, fields, time.monotonic() + self._config.request_seconds)
        full = len(connection.waiting) >= MAX_WAITING
        connection.waiting[number] = request
        try:
            if full:
                raise KeyServiceError(Code.KEYS_QUEUE_FULL, f"{MAX_WAITING} requests of this connection wait")
            self._start(request)
        except KeyServiceError as error:
            request.fail(error.code, error.detail)

    # --- requests

    def _start(self, request: Request) -> None:
        op, fields = request.op, request.fields
        if op not in (Op.STATUS, Op.WATCH) and request.connection.uid not in self._uids:
            self._log.event(Code.KEYS_STRANGER, peer=f"uid {request.connection.uid}", pid=request.connection.pid)
            raise KeyServiceError(Code.KEYS_STRANGER, f"uid {request.connection.uid} may only watch")
        if op in OPERATIONS:
            token, request.uri = self._router.route(fields[0])
            self._permit(request)
            kept = token.holder.kept.get((op, fields[0]))
            if kept is not None:
                request.answer([kept])
                return
            refusal = token.holder.refusal
            if refusal is not None:
                raise KeyServiceError(*refusal)
            self._submit(token, request)
        elif op == Op.LIST:
            request.uri = parsed(fields[0])
            self._permit(request)
            there = [token for token in self._router.candidates(request.uri) if token.holder.refusal is None]
            gather = Gather(request, len(there))
            self._gathering.append(gather)
            for token in there:
                token.submit(gather)
        elif op == Op.STATUS:
            request.answer([self._states()])
        elif op == Op.WATCH:
            request.connection.is_watcher = True
            request.answer([self._states()])
        else:
            raise KeyServiceError(Code.KEYS_UNKNOWN_OPERATION, f"op {op}")

    def _permit(self, request: Request) -> None:
        """Raise `KeyServiceError` unless the caller may do that."""
        if self._permits.allows(request):
            return
        caller = request.connection
        if (caller.uid, request.op) not in self._refused:
            self._refused.add((caller.uid, request.op))
            self._log.event(Code.KEYS_NOT_GRANTED, peer=f"uid {caller.uid}", pid=caller.pid, op=Op(request.op).name)
        raise KeyServiceError(Code.KEYS_NOT_GRANTED, f"uid {caller.uid}, {Op(request.op).name}")

    def _submit(self, token: TokenThread, request: Request) -> None:
        pending = token.pending
        while pending and not pending[0].waits:
            pending.popleft()
        if token.waiting() >= self._config.max_queue:
            raise KeyServiceError(Code.KEYS_QUEUE_FULL, f"{token.config.name}: {self._config.max_queue} requests wait")
        pending.append(request)
        may_call = token.is_quick() and time.monotonic() < self._calls_end
        if not (may_call and self._baton.call(lambda: token.serve_now(request))):
            token.submit(request)
        elif request.op == Op.SIGN and not request.waits and token.is_quick():
            self._lookout.signed(request.connection.fd)

    def _keep_deadlines(self, now: float) -> None:
        for token in self._tokens:
            pending = token.pending
            while pending and (not pending[0].waits or pending[0].deadline < now):
                pending.popleft().fail(Code.KEYS_TIMEOUT, f"{token.config.name}: no answer in {self._config.request_seconds} s")
        gathering = self._gathering
        while gathering and (gathering[0].done or gathering[0].request.deadline < now):
            gathering.popleft().finish()

    # --- states

    def _states(self) -> bytes:
        rows = [token.shown(self._config.request_seconds) for token in self._tokens]
        return json.dumps({"tokens": rows}, separators=(",", ":")).encode()

    def _tell(self) -> None:
        self._dirty = False
        packet = wire.encode_response(Op.WATCH, 0, 0, [self._states()])
        for connection in list(self._connections.values()):
            if connection.is_watcher:
                connection.send(packet)

    def _end(self) -> None:
        self._log.event(Code.KEYS_STOPPING)
        self._notifier.stopping("stopping")
        for token in self._tokens:
            token.stop()
        limit = time.monotonic() + _STOP_SECONDS
        for token in self._tokens:
            token.join(max(0.0, limit - time.monotonic()))
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        try:
            os.unlink(self._config.socket)
        except OSError:
            pass


def _listen(path: str) -> socket.socket:
    """Bind the socket. What a dead service left there is removed; what a living one listens on is not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    except FileNotFoundError:
        pass
    listener.bind(path)
    os.chmod(path, _ANYBODY)  # whoever reaches the folder may connect; who may ask is judged by the credentials of the peer
    return listener
