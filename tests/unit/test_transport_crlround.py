"""A round over many CRLs: a server that does not answer keeps nobody else waiting, and the round ends."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from wardgate.codes import Code
from wardgate.transport import crlround
from wardgate.transport.crlround import AT_A_TIME, fetch_all
from wardgate.transport.errors import CrlError

DEAD = [f"http://dead.test/{number}.crl" for number in range(20)]
GOOD = [f"http://good{number}.test/a.crl" for number in range(20)]


class Net:
    """Stands for the network: `dead.test` takes connections and says nothing until `over`."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.turns: list[str] = []  # whose turn it was, in order: threads begin to ask in any
        self.at_once: dict[str, int] = {}
        self.most = 0
        self._lock = threading.Lock()

    def fetch(self, url: str) -> bool:
        """As `crlfetch.fetch`."""
        server = url.split("/")[2]
        with self._lock:
            self.at_once[server] = self.at_once.get(server, 0) + 1
            assert self.at_once[server] == 1, f"two connections to {server}"
            self.most = max(self.most, sum(self.at_once.values()))
        try:
            if server == "dead.test":
                self.over.wait(60)
                try:
                    raise TimeoutError("timed out")
                except OSError as error:
                    raise CrlError(Code.CRL_FETCH_FAILED, url) from error
            return True
        finally:
            with self._lock:
                self.at_once[server] -= 1


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    made = Net()

    class Turns(crlround._Turns):
        def next(self) -> str | None:
            with self._change:
                url = super().next()
                if url is not None:
                    made.turns.append(url)
                return url

    monkeypatch.setattr(crlround, "_Turns", Turns)
    yield made
    made.over.set()


def test_a_silent_server_does_not_keep_the_lists_of_others_waiting(net: Net) -> None:
    came = []
    for url, result in fetch_all(DEAD + GOOD, net.fetch, 30):
        if result is True:
            came.append(url)
        if len(came) == len(GOOD):
            net.over.set()
    assert sorted(came) == sorted(GOOD)
    assert net.turns.index(DEAD[0]) < len(GOOD)
    assert all(net.turns.index(url) > net.turns.index(DEAD[0]) for url in DEAD[1:])


def test_the_other_lists_of_a_silent_server_come_after_everybody_else(net: Net) -> None:
    net.over.set()
    results = dict(fetch_all(DEAD + GOOD, net.fetch, 30))
    assert set(results) == {*DEAD, *GOOD}
    assert all(isinstance(results[url], CrlError) for url in DEAD)
    assert max(net.turns.index(url) for url in GOOD) <= len(GOOD) + AT_A_TIME
    assert net.most <= AT_A_TIME


def test_a_round_ends_though_a_server_never_does(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    began, now = time.monotonic(), [0.0]
    monkeypatch.setattr(crlround, "time", SimpleNamespace(monotonic=lambda: now[0]))
    results: dict[str, object] = {}
    for url, result in fetch_all(DEAD + GOOD, net.fetch, 600):
        results[url] = result
        if results.keys() >= {*GOOD}:
            now[0] = 600.0
    assert time.monotonic() - began < 50
    assert all(results[url] is True for url in GOOD)
    assert {str(result.code) for result in results.values() if isinstance(result, CrlError)} == {str(Code.CRL_FETCH_FAILED)}
    assert set(results) == {*DEAD, *GOOD}


def test_a_fetch_that_fails_in_an_unknown_way_fails_alone() -> None:
    def fetch(url: str) -> bool:
        if "good3." in url:
            raise MemoryError
        return True

    results = dict(fetch_all(GOOD, fetch, 30))
    assert [url for url, result in results.items() if result is not True] == [GOOD[3]]
