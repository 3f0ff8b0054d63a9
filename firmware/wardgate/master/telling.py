"""What the custody writer is told by the master over its line: tokens, news of them, the queue. The line may end and come again."""

from __future__ import annotations

import os
from collections import deque

from wardgate.custody.wire import QUEUE_IS
from wardgate.master import control
from wardgate.master.loop import IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wardgate.master.loop import Loop

_MAX_NEWS = 1024
_NEWS_AT_ONCE = 64
_AGAIN_SECONDS = 0.1


class Telling:
    """The line to the writer that is there. News are kept until the writer says that they are durable."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._line: socket.socket | None = None
        self._ended: Callable[[], None] | None = None
        self._out: list[str] | None = None  # why checkpoints cannot be signed
        self._news: deque[tuple[int, dict[str, str]]] = deque(maxlen=_MAX_NEWS)
        self._numbers = 0

    def use(self, line: socket.socket, ended: Callable[[], None] | None = None) -> None:
        """Speak on this line, which is closed here. `ended()`: the other end is gone."""
        self.close()
        self._line, self._ended = line, ended
        self._loop.watch(line.fileno(), IN, self._readable)
        self._say(0)

    def close(self) -> None:
        """There is no writer."""
        if self._line is not None:
            self._loop.forget(self._line.fileno())
            self._line.close()
            self._line = None

    def queue(self, directory: str) -> bool:
        """Say where instances in hold are; False when the writer does not read."""
        if self._line is not None:
            try:
                self._line.send(QUEUE_IS + os.fsencode(directory))
            except OSError:
                return False
        return True

    def tokens(self, out: list[str] | None, news: list[dict[str, str]]) -> None:
        """Tell why checkpoints cannot be signed (None: they can), and what to record."""
        self._out = out
        first = self._numbers + 1
        for item in news:
            self._numbers += 1
            self._news.append((self._numbers, item))
        self._say(first)

    def _say(self, first: int) -> None:
        """Say how it stands, with the news from number `first` on."""
        if self._line is None or (not self._numbers and self._out is None):
            return
        news = [entry for entry in self._news if entry[0] >= first]
        try:
            for start in range(0, max(1, len(news)), _NEWS_AT_ONCE):
                self._line.send(control.encode({"do": "tokens", "out": self._out, "news": news[start : start + _NEWS_AT_ONCE]}))
        except OSError:  # its queue is full, or it is about to be replaced
            self._loop.after(_AGAIN_SECONDS, lambda: self._say(0))

    def _readable(self, _events: int) -> None:
        assert self._line is not None
        try:
            message = control.decode(self._line.recv(control.MAX_MESSAGE_BYTES))
        except BlockingIOError:
            return
        except (OSError, control.ControlError):
            self._loop.forget(self._line.fileno())  # it is ending
            if self._ended is not None:
                self._ended()
            return
        done = message.get("done")
        while isinstance(done, int) and self._news and self._news[0][0] <= done:
            self._news.popleft()
