"""One `epoll` loop a worker: sockets, calls from threads, things to do once a turn and once a second."""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
GONE: Final = select.EPOLLHUP | select.EPOLLERR

TICK_SECONDS: Final = 0.5
FEW_EVENTS: Final = 4  # of one turn: little else is to be done
MAX_EVENTS: Final = 64  # of one turn: room for more is asked of malloc and given back at each
MAX_BUSY_TURNS: Final = 8

Handler = Callable[[int], None]


class Loop:
    """Calls handlers with the events of their file descriptor. Nothing in it blocks but `epoll_wait`."""

    def __init__(self, defect: Callable[[Exception], None]) -> None:
        """`defect` is told of every exception that nobody caught; the loop goes on."""
        self._defect = defect
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._tick_hooks: list[Callable[[], None]] = []
        self._idle_calls: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, IN | select.EPOLLET)  # each write is told once and need not be read
        self._running = True
        self.now = time.monotonic()  # seconds, of the start of this turn
        self.ready = 0  # events of this turn
        self.parting: dict[Callable[[], None], None] = {}  # what ends the legs that wait for their peer to close, longest first

    def register(self, fd: int, handler: Handler, events: int) -> None:
        """Call `handler(events)` when one of `events` is there on `fd`."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Change what is waited for on `fd`."""
        self._epoll.modify(fd, events)

    def discard(self, sock: socket.socket) -> None:
        """Forget `sock` and close it at the end of this turn: its number must not come back while old events wait."""
        fd = sock.fileno()
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        self._calls.append(sock.close)

    def forget(self, fd: int) -> None:
        """Forget a descriptor that somebody else closes or has closed (closing takes it out of `epoll`)."""
        if self._handlers.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except (OSError, ValueError):
                pass

    def call(self, function: Callable[[], None]) -> None:
        """Call `function` on the loop, soon. Safe from any thread."""
        self._calls.append(function)
        os.eventfd_write(self._wake, 1)

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` at the end of this turn. For the loop's own thread."""
        self._calls.append(function)

    def each_tick(self, hook: Callable[[], None]) -> None:
        """Call `hook` about every `TICK_SECONDS`."""
        self._tick_hooks.append(hook)

    def when_idle(self, function: Callable[[], None]) -> None:
        """Call `function` when no event is waiting, or after `MAX_BUSY_TURNS`: for what is cheaper done for many at once."""
        self._idle_calls.append(function)

    def at(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` after about `seconds`. For what can wait for a tick."""
        self._later.append((self.now + seconds, function))

    def stop(self) -> None:
        """End `run` after this turn."""
        self._running = False

    def run(self) -> None:
        """Run until `stop`."""
        tick = time.monotonic() + TICK_SECONDS
        poll = self._epoll.poll
        clock = time.monotonic
        handler_of = self._handlers.get
        calls = self._calls
        idle_calls = self._idle_calls
        busy = 0
        while self._running:
            wait = 0.0 if calls or idle_calls else tick - self.now
            events = poll(wait if wait > 0.0 else 0.0, MAX_EVENTS)
            self.now = now = clock()
            self.ready = len(events)
            if idle_calls:
                busy += 1
                if not events or busy > MAX_BUSY_TURNS:
                    busy = 0
                    now_idle = idle_calls[:]
                    idle_calls.clear()
                    for call in now_idle:
                        self._guarded(call)
            for fd, event in events:
                handler = handler_of(fd)
                if handler is not None:
                    try:
                        handler(event)
                    except Exception as error:
                        self._defect(error)
            while calls:
                function = calls.popleft()
                try:
                    function()
                except Exception as error:
                    self._defect(error)
                del function  # while we wait it would keep an association that has ended
            if now >= tick:
                tick = now + TICK_SECONDS
                for hook in self._tick_hooks:
                    self._guarded(hook)
                self._run_later()

    def _run_later(self) -> None:
        due = [function for when, function in self._later if when <= self.now]
        if due:
            self._later = [entry for entry in self._later if entry[0] > self.now]
            for function in due:
                self._guarded(function)

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._defect(error)
