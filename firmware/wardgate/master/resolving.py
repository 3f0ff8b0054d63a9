"""Has the configuration read and checked by a child process, so that the master never loads what that needs."""

from __future__ import annotations

import json
import os
import signal

from wardgate.master.loop import IN, Loop, Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardgate.master.children import Children

_SECONDS = 60.0  # building the TLS contexts of many links takes its time on a small board
_MAX_BYTES = 4 << 20


class Resolving:
    """One run of the resolver. `done(answer)` is called once; the answer is None when the child failed.

    The answer is what `policy.resolve` prints: `{"ok":true,"config":{...},...}` or `{"ok":false,"mistakes":[...]}`.
    """

    def __init__(self, loop: Loop, children: Children, argv: tuple[str, ...], done: Callable[[dict[str, Any] | None], None]) -> None:
        self._loop, self._children, self._done = loop, children, done
        self._output = bytearray()
        self._ended: str | None = None
        self._stopped = False
        self._gone: list[Callable[[], None]] = []  # whom to tell when it has ended after `stop`
        self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)
        try:
            self._pid = children.start(argv, self._on_exit, stdout=writer)
        except OSError:
            os.close(self._reader)
            raise
        finally:
            os.close(writer)
        self._open = True
        loop.watch(self._reader, IN, self._on_output)
        self._timer: Timer = loop.after(_SECONDS, self._give_up)

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """End it at once: nobody wants its answer any more, which does not come. `done()` follows, when it has ended."""
        self._stopped = True
        self._timer.cancel()
        self._children.signal(self._pid, signal.SIGKILL)
        if done is not None and self._ended is not None:
            self._loop.after(0, done)
        elif done is not None:
            self._gone.append(done)

    def _on_output(self, _events: int) -> None:
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        self._output += data
        if len(self._output) > _MAX_BYTES:
            self._give_up()
        if not data:
            self._loop.forget(self._reader)
            os.close(self._reader)
            self._open = False
            self._finish()

    def _on_exit(self, how: str) -> None:
        self._ended = how
        self._finish()
        for done in self._gone:
            done()

    def _give_up(self) -> None:
        self._output.clear()
        self._children.signal(self._pid, signal.SIGKILL)

    def _finish(self) -> None:
        if self._ended is None or self._open or self._stopped:
            return
        self._timer.cancel()
        answer = None
        try:
            answer = json.loads(self._output)
        except ValueError:
            pass
        self._done(answer if isinstance(answer, dict) else None)
