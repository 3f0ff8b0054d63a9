"""A worker's end of the custody writer's socket: queues items, sends them in batches, keeps what is unanswered for a resend.

Never blocks. Used in the worker's epoll loop: `add` as often as wanted, `flush` once a turn, `receive` when readable.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from wardgate.custody import wire
from wardgate.custody.wire import ITEM, MAX_PACKET, Op, Status

MAX_UNANSWERED: Final = 65536
_OPEN, _CLOSE, _STAT = int(Op.OPEN), int(Op.CLOSE), int(Op.STAT)


class WriterGone(Exception):
    """The custody writer cannot be reached, or its socket ended; `connect()` again after a pause."""


class Backlog(Exception):
    """More than `MAX_UNANSWERED` items wait for an answer."""


class CustodyClient:
    """One connection to the writer; survives its restart through `connect()`.

    `worker_id` names this worker in the writer's log. `clock` gives monotonic seconds, for `stalled_seconds`.
    """

    def __init__(self, path: str | os.PathLike[str], worker_id: str, clock: Callable[[], float]) -> None:
        self._path = os.fspath(path)
        self._worker_id = worker_id
        self._clock = clock
        self._socket: socket.socket | None = None
        self._queue: deque[bytes] = deque()
        self._unanswered: dict[int, bytes] = {}  # request -> item, oldest first
        self._open: set[bytes] = set()
        self._next = 1
        self._blocked = False
        self._progress = 0.0
        self._buffer = bytearray(MAX_PACKET)
        self._view = memoryview(self._buffer)
        self.report: bytes = b""  # the JSON of the last answer to STAT

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 when there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def connected(self) -> bool:
        """Is there a socket?"""
        return self._socket is not None

    @property
    def wants_write(self) -> bool:
        """Did the socket refuse the last packet? Then call `flush()` when it is writable."""
        return self._blocked

    @property
    def unanswered(self) -> int:
        """How many items wait for an answer."""
        return len(self._unanswered)

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the last answer (or the first item) while something is unanswered; 0 when nothing is."""
        return self._clock() - self._progress if self._unanswered else 0.0

    def connect(self) -> None:
        """Connect, say HELLO with the open associations, send again all that is unanswered. Raises `WriterGone`."""
        self.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise WriterGone(f"no custody writer at {self._path}: {error.strerror}") from error
        self._socket = sock
        self._blocked = False
        hellos = wire.encode_hello(self._worker_id, self._open)
        self._queue = deque(wire.encode_item(Op.HELLO, 0, wire.NO_ASSOCIATION, 0, hello) for hello in hellos)
        self._queue.extend(self._unanswered.values())
        self._progress = self._clock()
        self.flush()

    def add(self, op: int, association: bytes, seq: int, payload: bytes) -> int:
        """Queue one item and return its request number; `flush()` sends it. Raises `Backlog`, `WireError` (payload too long)."""
        if len(payload) > wire.MAX_PAYLOAD:
            raise wire.WireError(f"payload of {len(payload)} bytes, at most {wire.MAX_PAYLOAD}")
        unanswered = self._unanswered
        if not unanswered:
            self._progress = self._clock()
        elif len(unanswered) >= MAX_UNANSWERED:
            raise Backlog(f"{MAX_UNANSWERED} custody items unanswered")
        request = self._next
        self._next = request + 1 if request < 0xFFFFFFFF else 1  # 0 is HELLO's: nobody waits for its answer
        if op == _OPEN:
            self._open.add(association)
        elif op == _CLOSE:
            self._open.discard(association)  # a CLOSE sent again reclaims its association by itself
        unanswered[request] = item = ITEM.pack(op, request, association, seq, len(payload)) + payload
        self._queue.append(item)
        return request

    def flush(self) -> None:
        """Send what is queued, as far as the socket takes it. Raises `WriterGone`; without a socket it keeps all for later."""
        queue = self._queue
        sock = self._socket
        if sock is None or not queue:
            return
        while queue:
            size = 0
            packet = []
            for item in queue:
                size += len(item)
                if size > MAX_PACKET:
                    break
                packet.append(item)
            try:
                sock.send(b"".join(packet))
            except BlockingIOError:
                self._blocked = True
                return
            except OSError as error:
                self.close()
                raise WriterGone(f"the custody writer went away: {error.strerror}") from error
            if len(packet) == len(queue):
                queue.clear()
            else:
                for _ in packet:
                    queue.popleft()
        self._blocked = False

    def receive(self) -> list[tuple[int, Status, int]]:
        """Return the answers of one packet (call it again while readable): (request, status, index). Raises `WriterGone`."""
        if self._socket is None:
            return []
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return []
        except OSError as error:
            self.close()
            raise WriterGone(f"the custody writer went away: {error.strerror}") from error
        if not size:
            self.close()
            raise WriterGone("the custody writer closed its socket")
        self._progress = self._clock()
        if self._buffer[0] == wire.REPORT_KIND[0]:
            self.report = bytes(self._view[1:size])
            return [(request, Status.OK, wire.NO_INDEX) for request in self._stat_requests()]
        try:
            answers = wire.decode_answers(self._view[:size])
        except wire.WireError as error:
            self.close()
            raise WriterGone(f"the custody writer speaks otherwise: {error}") from error
        known = []
        pop = self._unanswered.pop
        for answer in answers:
            item = pop(answer[0], None)
            if item is None:
                continue  # HELLO, or answered before the connection was made again
            if answer[1] and item[0] == _OPEN:
                self._open.discard(item[5:21])
            known.append(answer)
        return known

    def _stat_requests(self) -> list[int]:
        found = [request for request, item in self._unanswered.items() if item[0] == _STAT]
        for request in found:
            del self._unanswered[request]
        return found

    def close(self) -> None:
        """Close the socket; what is unanswered is kept for the next `connect()`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._blocked = False


def has(path: str | os.PathLike[str], records: Sequence[tuple[bytes, int]], seconds: float) -> list[Status]:
    """Return for each (association, seq) what the writer says to HAS. Blocks, at most `seconds` for an answer. Raises `WriterGone`."""
    found: list[Status] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(os.fspath(path))
            for association, seq in records:
                sock.send(wire.encode_item(Op.HAS, 1, association, seq, b""))
                found += [status for _, status, _ in wire.decode_answers(sock.recv(MAX_PACKET))]
        except (OSError, wire.WireError) as error:
            raise WriterGone(f"no answer from the custody writer at {os.fspath(path)}: {error}") from error
    return found


def ask(path: str | os.PathLike[str], op: Op, seconds: float) -> bytes:
    """Connect, send one STAT or YIELD, wait at most `seconds` for the writer's packet. Blocks. Raises `WriterGone`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(os.fspath(path))
            sock.send(wire.encode_item(op, 1, wire.NO_ASSOCIATION, 0, b""))
            packet = sock.recv(MAX_PACKET)
        except OSError as error:
            raise WriterGone(f"no answer from the custody writer at {os.fspath(path)}: {error}") from error
    if not packet:
        raise WriterGone("the custody writer closed its socket")
    return packet[1:]
