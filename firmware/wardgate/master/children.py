"""Starts child processes and learns of their end."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The terminal sends these to the whole group; children must end when the master says so, not before.
_BLOCKED = (signal.SIGINT, signal.SIGHUP)
_DEFAULT = (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP)


class Children:
    """The processes of this master."""

    def __init__(self) -> None:
        self._on_exit: dict[int, Callable[[str], None]] = {}

    def __len__(self) -> int:
        """How many are alive."""
        return len(self._on_exit)

    def start(
        self,
        argv: Sequence[str],
        on_exit: Callable[[str], None],
        fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> int:
        """Start a program with the descriptors `fds` open under their own numbers; return its pid.

        `on_exit(how)` is called on the loop when it ended: `"exit 0"`, `"signal 9"`. Raises `OSError`.
        """
        actions = [] if stdout is None else [(os.POSIX_SPAWN_DUP2, stdout, 1)]
        for fd in fds:
            os.set_inheritable(fd, True)
        try:
            pid = os.posix_spawn(
                argv[0],
                list(argv),
                os.environ if environment is None else environment,
                file_actions=actions,
                setsigmask=_BLOCKED,
                setsigdef=_DEFAULT,
            )
        finally:
            for fd in fds:
                os.set_inheritable(fd, False)
        self._on_exit[pid] = on_exit
        return pid

    def reap(self) -> None:
        """Collect who ended. Called on SIGCHLD."""
        while self._on_exit:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            on_exit = self._on_exit.pop(pid, None)
            if on_exit is not None:
                on_exit(f"exit {code}" if code >= 0 else f"signal {-code}")

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a child that was not collected yet; its pid cannot have been given to another."""
        if pid in self._on_exit:
            os.kill(pid, number)


def memory_bytes(pid: int) -> int:
    """Return the resident size of a process, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
