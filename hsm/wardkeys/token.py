"""One token's queue and thread. A slow or stuck token holds up this thread and nobody else.

A token that answers within two milliseconds (an HSM in the box, SoftHSM) is used straight from the service's thread when nothing waits
for it: waking another thread costs as much as a signature with EC. `Service` sees to it that this never holds up the others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardkeys.cryptoki.failures import ModuleUnusable
from wardkeys.errors import KeyServiceError
from wardkeys.gather import Gather
from wardkeys.holder import Holder
from wardkeys.listing import listing
from wardkeys.operations import perform
from wardkeys.request import Request
from wardkeys.state import Report, State
from wardkeys.wire import Op

if TYPE_CHECKING:
    from wardkeys.cardholder import CardHolder

_LOOK_SECONDS: Final = 0.25
_QUICK_SECONDS: Final = 0.002  # RSA 2048 in SoftHSM takes 0.6 ms: one that the machine held up for 5 ms leaves it quick
_WEIGHT: Final = 0.25  # of the last request in `pace`


class TokenThread:
    """A queue before a `Holder`, and the thread that empties it and looks at the token between requests."""

    def __init__(self, holder: Holder | CardHolder, unusable: ModuleUnusable | None = None) -> None:
        self.holder = holder
        self.config = holder.config
        self.busy_since = 0.0
        self.settled = threading.Event()
        self.pending: deque[Request] = deque()  # of the service: what it watches for deadlines
        self._pace = 5 * _QUICK_SECONDS  # seconds a request, lately; a new token has to show that it is quick
        self._queue: SimpleQueue[Request | Gather | str] = SimpleQueue()
        self._next_look = 0.0
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name=f"token-{self.config.name}", daemon=True)
        if unusable is not None:  # it stands there and says why
            holder.report = Report(self.config.name, State.FAILED, detail=str(unusable), changes=1)
            holder.refusal = (Code.KEYS_MODULE, str(unusable))
            self._thread = None

    # --- for the service

    def start(self) -> None:
        """Begin to look and serve."""
        if self._thread is None:
            self.settled.set()
        else:
            self._thread.start()

    def stop(self) -> None:
        """End after what is queued."""
        self._queue.put("stop")

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join(seconds)

    def reload(self) -> None:
        """The operator says that the PIN file may be another one now."""
        self._queue.put("reload")

    def submit(self, item: Request | Gather) -> None:
        """Queue a request, or this token's part of a LIST."""
        self._queue.put(item)

    def waiting(self) -> int:
        """Items in the queue."""
        return self._queue.qsize()

    def is_quick(self) -> bool:
        """Would a request be answered at once? Then `serve_now` may be tried."""
        return self._pace < _QUICK_SECONDS and self._queue.empty()

    def serve_now(self, request: Request) -> None:
        """Serve it in the calling thread if the token is free, else queue it."""
        if not self.holder.turn.acquire(blocking=False):
            self.submit(request)
            return
        try:
            self._serve(request)
        finally:
            self.holder.turn.release()

    def shown(self, patience: float) -> dict[str, Any]:
        """Return the state for STATUS and WATCH. A module that has not answered for `patience` seconds is a failed token."""
        report = self.holder.report
        since = self.busy_since
        if since and time.monotonic() - since > patience:
            report = report._replace(state=State.FAILED, detail="its module does not answer")
        return report.shown()

    # --- the thread

    def _run(self) -> None:
        self._look()
        self.settled.set()
        while True:
            try:
                item = self._queue.get(timeout=max(0.0, self._next_look - time.monotonic()))
            except Empty:
                self._look()
                continue
            if item == "stop":
                break
            with self.holder.turn:
                if isinstance(item, Request):
                    self._serve(item)
                elif isinstance(item, Gather):
                    item.add(self._listed(item))
                else:
                    self._reload()
            if time.monotonic() >= self._next_look:
                self._look()
        with self.holder.turn:
            self.holder.close()

    def _reload(self) -> None:
        try:
            self.holder.reload()
        except Exception as error:
            self._defect(error)

    def _look(self) -> None:
        with self.holder.turn:
            try:
                self.holder.look()
            except Exception as error:
                self._defect(error)
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def _serve(self, request: Request) -> None:
        if not request.waits:  # its caller is gone, or was told that it took too long
            return
        self.busy_since = begun = time.monotonic()
        try:
            if begun > request.deadline:
                raise KeyServiceError(Code.KEYS_TIMEOUT, "it waited too long for the token")
            holder = self.holder
            fields = holder.use(lambda: perform(holder, request))
        except KeyServiceError as error:
            request.fail(error.code, error.detail)
        except Exception as error:
            request.fail(Code.KEYS_TOKEN_FAILED, f"defect of the key service: {type(error).__name__}")
            self._defect(error)
        else:
            request.answer(fields)
        self._pace += _WEIGHT * (time.monotonic() - begun - self._pace)
        if request.op == Op.SIGN and self.is_quick() and isinstance(self.holder, Holder):
            try:
                self.holder.begin_ahead()  # the answer has left: nobody waits for this
            except Exception as error:
                self._defect(error)
        self.busy_since = 0.0

    def _listed(self, gather: Gather) -> list[dict[str, Any]]:
        uri = gather.request.uri
        rows: list[dict[str, Any]] = []
        holder = self.holder
        if not isinstance(holder, Holder):
            return rows

        def read() -> list[bytes]:
            rows[:] = listing(holder.session(), holder.named(uri), uri)
            return []

        self.busy_since = time.monotonic()
        try:
            holder.use(read)
        except KeyServiceError:
            pass
        except Exception as error:
            self._defect(error)
        self.busy_since = 0.0
        return rows

    def _defect(self, error: Exception) -> None:
        """A mistake of ours must not end the thread; it is told, without what the exception may quote."""
        self.holder.log.event(Code.KEYS_TOKEN_FAILED, token=self.config.name, defect=type(error).__name__)
