"""Short-lived programs that the master starts again and again beside its main work: one of a kind at a time, none for ever."""

from __future__ import annotations

import signal

from wardgate.codes import Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop, Timer

LONGEST_SECONDS = 3600.0  # all of them can be ended at any instant and go on at the next round


class Rounds:
    """Starts `argv` every `seconds()` while `wanted()`. An exit status of 1 has been told by the program's own log lines."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        events: Events,
        what: str,
        argv: tuple[str, ...],
        seconds: Callable[[], float],
        wanted: Callable[[], bool],
    ) -> None:
        self._loop, self._children, self._events = loop, children, events
        self._what, self._argv, self._seconds, self._wanted = what, argv, seconds, wanted
        self._pid = 0
        self._again = False  # another round follows at once
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin with the rounds; the first comes after one interval."""
        self._loop.after(self._seconds(), self._turn)

    def now(self) -> None:
        """Begin a round at once; where one is under way, which may know of less, the next follows it."""
        self._again = self._pid != 0
        self._begin()

    def _turn(self) -> None:
        self.start()
        self._begin()

    def _begin(self) -> None:
        if self._pid or not self._wanted():
            return
        try:
            pid = self._pid = self._children.start(self._argv, self._ended)
        except OSError as error:
            self._events.event(Code.CHILD_FAILED, what=self._what, detail=error.strerror)
            return
        self._timer = self._loop.after(LONGEST_SECONDS, lambda: self._children.signal(pid, signal.SIGKILL))

    def _ended(self, how: str) -> None:
        self._pid = 0
        if self._timer is not None:
            self._timer.cancel()
        if how not in ("exit 0", "exit 1"):
            self._events.event(Code.CHILD_FAILED, what=self._what, how=how)
        if self._again:
            self._again = False
            self._begin()
