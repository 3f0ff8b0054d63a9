"""How a process that the master starts begins: the start message comes over the control socket, its own `serve` is made from it."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.master.control import MAX_FDS, ControlError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL_BYTES: Final = 1 << 20


def _freeze() -> None:
    """What is here now stays for ever: no collection looks at it again."""
    gc.collect()
    gc.freeze()


def begin(module: str, make: Callable[[socket.socket, dict[str, Any]], Callable[[], None]], settled: Callable[[], None] = _freeze) -> int:
    """Take the start message from the descriptor in `sys.argv`, serve, leave; return the exit status. `start["fds"]`: what it may use.

    `make(control, start)` returns what serves until the master says stop; when it raises, the master is told and the status is 1.
    `settled` is called in between, when everything that stays for ever is there.
    """
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.stderr.write(f"usage: python -m {module} CONTROL_FD   (started by wardgate run)\n")
        return 2
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal's; the master decides what a reload is
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        # As long as it takes: there may be no configuration yet. The end of who started this process ends it.
        first, fds, flags, _ = socket.recv_fds(control, CONTROL_BYTES, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        if not first:
            return 0
        start = decode(first)
        if flags & socket.MSG_CTRUNC:  # numbers in the message are the master's then, not ours
            raise OSError(f"{len(fds)} descriptors of the {len(start['fds'])} that belong to it: no room for more (RLIMIT_NOFILE)")
    except (OSError, ControlError) as error:
        sys.stderr.write(f"no start message from the master: {error}\n")
        return 2
    if fds:
        start["fds"] = fds
    try:
        serve = make(control, start)
    except Exception as error:
        code = getattr(error, "code", Code.WORKER_DEFECT)
        control.send(encode({"is": "failed", "code": str(code), "detail": f"{type(error).__name__}: {error}"[:500]}))
        return 1
    control.setblocking(False)
    settled()
    serve()
    return 0
