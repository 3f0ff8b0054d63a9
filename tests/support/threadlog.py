"""Log lines of threads that write when pytest takes nothing: between a test's phases, or between two tests.

Workers run in threads of the test process (relaykit, forwarderkit). Such a line would stand among pytest's dots; it is kept here, and told
with the next failure of its test.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from types import SimpleNamespace
from typing import Final

_MOST: Final = 500
_kept: deque[str] = deque(maxlen=_MOST)


class _Stream:
    """Stands where the product's log finds standard error."""

    def write(self, text: str) -> None:
        now = sys.stderr  # looked at once: pytest changes it under us
        if now is sys.__stderr__ and threading.current_thread() is not threading.main_thread():
            _kept.append(text)
        elif now is not None:
            now.write(text)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()


def install() -> None:
    """From now on, for the log of the product in this process."""
    from wardgate import log

    log.sys = SimpleNamespace(stderr=_Stream())  # type: ignore[assignment]


def take() -> str:
    """Return what was kept since this was called the last time."""
    lines = []
    while _kept:
        lines.append(_kept.popleft())
    return "".join(lines)
