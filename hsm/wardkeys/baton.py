"""Two threads, one of which runs the service's loop: so the loop may call a quick token itself.

Before such a call a timer is set. Should the call last, the timer wakes the other thread, which takes the loop over; the first finds
that out when its call ends, and becomes the one who waits. Nobody is woken for a call that is quick.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
from collections.abc import Callable
from typing import Any, Final

_PATIENCE_NANOSECONDS: Final = 5_000_000
_CLOCK_MONOTONIC: Final = 1
_TFD_CLOEXEC: Final = 0o2000000


class _Time(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long), ("s", ctypes.c_long), ("ns", ctypes.c_long))


class Lost(Exception):
    """Another thread has the loop now: leave it, touch nothing of it."""


class Baton:
    """Runs `loop` in one of two threads until it returns. `bell`: a byte written to it wakes who waits, for `signal.set_wakeup_fd`."""

    def __init__(self, loop: Callable[[], None]) -> None:
        libc: Any = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: these calls take a microsecond
        self._settime = libc.timerfd_settime
        self._timer = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._soon = ctypes.byref(_Time(0, 0, 0, _PATIENCE_NANOSECONDS))
        self._now = ctypes.byref(_Time(0, 0, 0, 1))
        self._never = ctypes.byref(_Time(0, 0, 0, 0))
        self._loop = loop
        self._lock = threading.Lock()
        self._runner: int | None = None
        self._away = False  # the runner is in a call
        self._standing_by = 0
        self._ended = threading.Event()
        self._rung, self.bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Start both threads."""
        for number in range(2):
            threading.Thread(target=self._thread, name=f"loop-{number}", daemon=True).start()
        self._settime(self._timer, 0, self._now, None)

    def wait(self) -> None:
        """Wait until the loop has returned. Raises what the loop raised.

        Signals are handled meanwhile, when `bell` is rung for them: one that comes just before this thread sleeps, or to another thread,
        would not wake it from a lock, and its handler would run with the next one.
        """
        poll = select.poll()
        poll.register(self._rung, select.POLLIN)
        while not self._ended.is_set():
            poll.poll()
            os.read(self._rung, 512)
        if self._failure is not None:
            raise self._failure

    def call(self, work: Callable[[], None]) -> bool:
        """From inside the loop: do `work`. Returns False, without doing it, when nobody could take over. Raises `Lost`."""
        if not self._standing_by:
            return False
        self._away = True
        self._settime(self._timer, 0, self._soon, None)
        try:
            work()
        finally:
            with self._lock:
                self._away = False
                lost = self._runner != threading.get_ident()
            self._settime(self._timer, 0, self._never, None)
        if lost:
            raise Lost
        return True

    def _thread(self) -> None:
        me = threading.get_ident()
        while not self._ended.is_set():
            with self._lock:
                self._standing_by += 1
            os.read(self._timer, 8)
            with self._lock:
                self._standing_by -= 1
                take = self._runner is None or (self._away and self._runner != me)
                if take:
                    self._runner, self._away = me, False
            if take:
                try:
                    self._loop()
                except Lost:
                    continue
                except BaseException as error:
                    self._failure = error
                self._ended.set()
                self._ring()
                self._settime(self._timer, 0, self._now, None)

    def _ring(self) -> None:
        try:
            os.write(self.bell, b"\0")
        except BlockingIOError:
            pass  # it is full: who waits will wake
