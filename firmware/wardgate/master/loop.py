"""The master's loop: file descriptors, timers and signals by hand. Nothing in it blocks but `poll`."""

from __future__ import annotations

import heapq
import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

IN = select.POLLIN
OUT = select.POLLOUT


class Timer:
    """A call to come; `cancel` makes it never come."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call."""
        self.call = None


class Loop:
    """Runs until `stop`. Signals arrive as ordinary calls, never in the middle of something."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._signals: dict[int, Callable[[], None]] = {}
        self._running = True
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._wakeup = reader
        self.watch(reader, IN, self._on_signal_bytes)

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` when one of `events` is there; also on hang-up and error."""
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch `fd` no longer. To be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(call)
        self._sequence += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._sequence, timer))
        return timer

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call on the loop when the signal arrives."""
        self._signals[number] = call
        signal.signal(number, _wake_only)

    def stop(self) -> None:
        """End `run`."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            # A call may close a descriptor whose event is still to come, and another may open with its number: that event is not its own.
            ready = [(fd, events, self._handlers.get(fd)) for fd, events in self._poll.poll(self._timeout_ms())]
            for fd, events, handler in ready:
                if handler is not None and self._handlers.get(fd) is handler:
                    handler(events)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                call = heapq.heappop(self._timers)[2].call
                if call is not None:
                    call()

    def _timeout_ms(self) -> int | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0, int((self._timers[0][0] - time.monotonic()) * 1000) + 1)

    def _on_signal_bytes(self, _events: int) -> None:
        try:
            numbers = os.read(self._wakeup, 512)
        except BlockingIOError:
            return
        for number in dict.fromkeys(numbers):
            call = self._signals.get(number)
            if call is not None:
                # Two SIGTERMs read at once are still two: the second one means "at once".
                for _ in range(min(numbers.count(number), 2) if number in (signal.SIGTERM, signal.SIGINT) else 1):
                    call()


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor carries the signal to the loop."""
