"""What a process can do so that others do not read its memory. docs/keys.md says what that does not stop."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def harden() -> list[str]:
    """No core dumps, no ptrace by the same user, files private, memory kept out of swap. Returns what could not be had."""
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, option, value in (("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0), ("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            missing.append(f"prctl {name}: {os.strerror(ctypes.get_errno())}")
    # With a limit, locking what comes later would make a later allocation fail: only without one.
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        missing.append("mlockall: needs LimitMEMLOCK=infinity or CAP_IPC_LOCK; the PIN may reach swap")
    elif libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        missing.append(f"mlockall: {os.strerror(ctypes.get_errno())}; the PIN may reach swap")
    return missing
