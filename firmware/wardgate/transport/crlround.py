"""One round over all CRLs that are wanted: a few at a time, one of a server at a time, and an end, whoever does not answer.

A server that did not answer is asked for its other lists when all other servers had their turn. Threads: a thread may stand in a name
look-up that no timeout ends; the round ends without it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from wardgate.codes import Code
from wardgate.transport.errors import CrlError

ROUND_SECONDS: Final = 600.0  # below `crl_refresh_seconds`, as long as nobody changes that
AT_A_TIME: Final = 4

Fetched = tuple[str, bool | CrlError]


def fetch_all(urls: list[str], fetch: Callable[[str], bool], seconds: float = ROUND_SECONDS) -> Iterator[Fetched]:
    """Yield (URL, is the list new, or why it did not come) of each once, as they end. `fetch` may be called by several threads at once."""
    turns = _Turns(list(dict.fromkeys(urls)))
    ended: queue.SimpleQueue[Fetched] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < deadline and (url := turns.next()) is not None:
            result: bool | CrlError
            silent = False
            try:
                result = fetch(url)
            except CrlError as error:
                result, silent = error, isinstance(error.__cause__, OSError)
            except Exception as error:  # of what a stranger sent: the others still have their turn
                result = CrlError(Code.CRL_FETCH_FAILED, f"{url}: {type(error).__name__} {error}")
            turns.done(url, silent)
            ended.put((url, result))

    for _ in range(min(AT_A_TIME, len(urls))):
        threading.Thread(target=work, daemon=True).start()
    left = dict.fromkeys(urls)
    while left:
        try:
            url, result = ended.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        del left[url]
        yield url, result
    for url in left:
        yield url, CrlError(Code.CRL_FETCH_FAILED, f"{url}: no turn, or no answer, within the {seconds:.0f} s of a round")


class _Turns:
    """Whose turn it is. Any thread."""

    def __init__(self, urls: list[str]) -> None:
        self._waiting = urls
        self._busy: set[str] = set()
        self._silent: set[str] = set()
        self._change = threading.Condition()

    def next(self) -> str | None:
        """Return a URL whose server is not being asked; those that did not answer come last. None when there is no more."""
        with self._change:
            while self._waiting:
                free = [url for url in self._waiting if _server(url) not in self._busy]
                if free:
                    url = min(free, key=lambda each: _server(each) in self._silent)
                    self._waiting.remove(url)
                    self._busy.add(_server(url))
                    return url
                self._change.wait()
            return None

    def done(self, url: str, silent: bool) -> None:
        """Its server may be asked again; `silent`: it did not answer."""
        with self._change:
            self._busy.discard(_server(url))
            if silent:
                self._silent.add(_server(url))
            self._change.notify_all()


def _server(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return url
