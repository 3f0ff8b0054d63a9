"""One PKCS#11 module, loaded once, used by the threads of all its tokens, finalised and initialised again as a whole.

C_Finalize ends the sessions of every token of the module in this process. So each use is counted, a restart waits until nobody is
inside, and afterwards `generation` differs: who holds a session of an older generation opens a new one.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import Any, Final

from wardkeys.cryptoki.constants import CKF_OS_LOCKING_OK
from wardkeys.cryptoki.failures import Ckr, ModuleUnusable, Rv
from wardkeys.cryptoki.structures import FunctionList, InitializeArguments

# Modules that are initialised without locking and used by one thread at a time. OpenSC locks itself as a whole anyway, and 0.23 waits for
# ever for its own lock when a card is pulled in the middle of a signature (sc_unlock in sc_compute_signature; seen with gdb).
_ALONE: Final = ("opensc",)
_RESTART_WAIT_SECONDS: Final = 5.0


class Module:
    """A loaded module. `with module:` marks a use; `generation` is 0 until the first `restart`."""

    def __init__(self, path: str) -> None:
        """Load it. Raises `ModuleUnusable`."""
        self._alone = threading.Lock() if any(word in os.path.basename(path) for word in _ALONE) else None
        self.f: Any = _load(path)
        self.path = path
        self.generation = 0
        self.sessions = 0  # of all tokens, open and logged in
        self._ready = False
        self._users = 0
        self._restarting = False
        self._turn = threading.Condition()
        self._inside = threading.local()

    def __enter__(self) -> Module:
        """Begin a use; waits while the module restarts. A use within a use of the same thread counts once, and never waits."""
        depth: int = getattr(self._inside, "depth", 0)
        self._inside.depth = depth + 1
        if not depth:
            with self._turn:
                while self._restarting:
                    self._turn.wait()
                self._users += 1
            if self._alone is not None:
                self._alone.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        """End a use."""
        self._inside.depth -= 1
        if not self._inside.depth:
            if self._alone is not None:
                self._alone.release()
            with self._turn:
                self._users -= 1
                if not self._users:
                    self._turn.notify_all()

    def restart(self, seen: int) -> None:
        """Finalise (if need be) and initialise, unless somebody did since generation `seen`. Not inside a use. Raises `Ckr`."""
        with self._turn:
            if self.generation != seen or self._restarting:
                return
            self._restarting = True
            limit = time.monotonic() + _RESTART_WAIT_SECONDS
            while self._users and (left := limit - time.monotonic()) > 0:
                self._turn.wait(left)
            busy = self._users > 0
        try:
            if busy:  # a token that does not answer must not lose its module under it; tried again later
                raise Ckr("restart", Rv.FUNCTION_FAILED)
            self._initialize()
        finally:
            with self._turn:
                self._restarting = False
                self._turn.notify_all()

    def _initialize(self) -> None:
        if self._ready:
            self.f.C_Finalize(None)  # its result changes nothing: what counts is whether it can be initialised
            self._ready = False
        self.generation += 1
        arguments = InitializeArguments(flags=CKF_OS_LOCKING_OK)
        rv = self.f.C_Initialize(None if self._alone is not None else ctypes.byref(arguments))
        if rv not in (Rv.OK, Rv.CRYPTOKI_ALREADY_INITIALIZED):
            raise Ckr("C_Initialize", rv)
        self._ready = True

    @property
    def is_ready(self) -> bool:
        """Is it initialised? Not before the first `restart`, nor after one that failed."""
        return self._ready

    def finalize(self) -> None:
        """End it for good, if nobody is inside."""
        with self._turn:
            if self._ready and not self._users:
                self._ready = False
                self.f.C_Finalize(None)


def _load(path: str) -> Any:
    """Return the function list of the module at `path`. Raises `ModuleUnusable`."""
    try:
        library = ctypes.CDLL(path)
        get = library.C_GetFunctionList
    except (OSError, AttributeError) as error:
        raise ModuleUnusable(f"{path}: {error}") from error
    get.restype = ctypes.c_ulong
    pointer = ctypes.POINTER(FunctionList)()
    rv = get(ctypes.byref(pointer))
    if rv or not pointer:
        raise ModuleUnusable(f"{path}: C_GetFunctionList returned {rv:#x}")
    return pointer.contents
