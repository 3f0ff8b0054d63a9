"""A worker that begins before there is a configuration: its interpreter starts and imports while the configuration is read and checked.

It has its end of a control socket and nothing else, and waits for its start message: no socket that listens, no configuration, no key.
The first generation takes it as its first worker. Where the configuration is refused, or needs a process that was started otherwise, it is
ended.
"""

from __future__ import annotations

import os
import signal
import socket

from wardgate.codes import Code
from wardgate.master import control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wardgate.master.children import Children
    from wardgate.master.events import Events
    from wardgate.master.loop import Loop


def environment() -> dict[str, str]:
    """Return what a worker is started with, but for an `OPENSSL_CONF`."""
    # One heap for all threads of a worker: what handshake threads allocate lives on in the loop's thread, and a heap a thread
    # doubles what 500 associations need.
    return {"MALLOC_ARENA_MAX": "1", **os.environ}


class Waiting:
    """One such process, from `begin` until it is taken, is ended, or dies, which is told."""

    def __init__(self, loop: Loop, children: Children, events: Events, argv: tuple[str, ...]) -> None:
        self._loop, self._children, self._events, self._argv = loop, children, events, argv
        self._control: socket.socket | None = None
        self._taken: Callable[[str], None] | None = None
        self._gone: list[Callable[[], None]] = []  # whom to tell when it has ended
        self._leaves = False
        self.pid = 0  # while it waits

    def begin(self) -> None:
        """Start it. When that fails nothing is lost: whoever wants a worker starts one, and tells what comes of it."""
        try:
            ours, theirs = control.pair()
        except OSError:
            return
        try:
            self.pid = self._children.start((*self._argv, str(theirs.fileno())), self._exited, (theirs.fileno(),), environment())
        except OSError:
            ours.close()
            return
        finally:
            theirs.close()
        self._control = ours

    def take(self, first: bytes, fds: Sequence[int], on_exit: Callable[[str], None]) -> tuple[int, socket.socket] | None:
        """Give it its start message with the descriptors; return its pid and control socket, None when there is none that takes them.

        It is the caller's then, who is told its end.
        """
        if self._control is None or len(fds) > control.MAX_FDS:
            return None
        try:
            socket.send_fds(self._control, [first], fds)
        except OSError:  # it has died: `_exited` follows
            self._close()
            return None
        taken = self.pid, self._control
        self.pid, self._control, self._taken = 0, None, on_exit
        return taken

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """End it, if it waits still: at once, as it has nothing to lose. `done()` follows, when it has ended."""
        if done is not None and not self.pid:
            self._loop.after(0, done)
        elif done is not None:
            self._gone.append(done)
        if self._control is not None:
            self._leaves = True
            self._close()
            self._children.signal(self.pid, signal.SIGKILL)
        elif self.pid and done is not None:  # one that was refused its start message leaves by itself, if it does not hang
            self._children.signal(self.pid, signal.SIGKILL)

    def _exited(self, how: str) -> None:
        if self._taken is not None:
            self._taken(how)
            return
        pid, self.pid = self.pid, 0
        self._close()
        if not self._leaves:
            self._events.event(Code.WORKER_DIED, worker=0, pid=pid, how=how)
        for done in self._gone:
            done()

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
