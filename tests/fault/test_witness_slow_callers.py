"""A witness among callers that say nothing, or a byte now and then: who has something to be witnessed is served."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.logmaker import MadeLog, make_log
from support.processes import until
from support.witness import WitnessProcess, tls_files
from wardgate.custody.witnesscall import Reply, post
from wardgate.custody.witnessing import Seen, open_log, show
from wardtools.pki import Pki
from wardtools.witness.callers import MAX_CALLERS, Callers
from wardtools.witness.main import main, open_witness
from wardtools.witness.server import WitnessServer


def _post(url: str, anchors: Path) -> Callable[[bytes], Reply]:
    return partial(post, url, anchors, until=time.monotonic() + 60)


@pytest.fixture
def made(tmp_path: Path) -> MadeLog:
    return make_log(tmp_path / "log", 5)


@pytest.mark.parametrize("words", [b"", b"POST /add-checkpoint HTTP/1.1\r\nX: "])
def test_silent_callers_do_not_block_others(pki: Pki, tmp_path: Path, made: MadeLog, words: bytes) -> None:
    witness = WitnessProcess(tmp_path, pki, [made.path / "vkey"])
    with contextlib.ExitStack() as silent:
        for _ in range(3 * MAX_CALLERS):
            sock = silent.enter_context(socket.create_connection(("127.0.0.1", witness.port), 60))
            sock.sendall(words)
        time.sleep(0.5)  # they all have their threads
        outcome = show(open_log(str(made.path)), witness.key, 0, _post(witness.configured.url, pki.root))
        assert outcome.seen is Seen.COSIGNED, outcome
    assert witness.stop() == 0


@pytest.fixture
def server(pki: Pki, tmp_path: Path, made: MadeLog) -> Iterator[WitnessServer]:
    place = tmp_path / "w"
    assert main(["init", str(place), "--name", "w.test/1"]) == 0
    assert main(["add-log", str(place), str(made.path / "vkey")]) == 0
    served = WitnessServer(("127.0.0.1", 0), open_witness(place), None)
    served.callers = Callers(total_seconds=1.0)
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_caller_that_gives_a_byte_now_and_then_is_cut_off_in_time(server: WitnessServer) -> None:
    with socket.create_connection(server.server_address[:2], 60) as sock:
        sock.sendall(b"POST /add-checkpoint HTTP/1.1\r\nX: ")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 60:
                sock.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 25


def test_a_caller_that_asks_again_and_again_on_one_connection_is_cut_off_in_time(server: WitnessServer) -> None:
    with socket.create_connection(server.server_address[:2], 60) as sock:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 60:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: w\r\n\r\n")
                if not sock.recv(65536):
                    break
                time.sleep(0.1)
        assert time.monotonic() - began < 25


def test_who_has_most_connections_gives_way_the_oldest_of_them_first() -> None:
    callers = Callers(most=3)
    pairs = [socket.socketpair() for _ in range(5)]
    for (ours, _), address in zip(pairs, ("a", "b", "b", "c", "b"), strict=True):
        callers.enter(ours, address)
    for number, (_, theirs) in enumerate(pairs):
        theirs.setblocking(False)
        cut = False
        with contextlib.suppress(BlockingIOError):
            cut = theirs.recv(1) == b""
        # "c" took the place of the first "b"; the last "b" that of the oldest, for all have one.
        assert cut == (number in (0, 1)), number
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_nothing_is_remembered_of_connections_that_ended(server: WitnessServer) -> None:
    for _ in range(50):
        # On a busy machine its second may be over before it is answered.
        with contextlib.suppress(OSError), socket.create_connection(server.server_address[:2], 60) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while sock.recv(65536):
                pass
    until(lambda: not server.callers._there, "all are forgotten")
    assert server._room._value == 2 * MAX_CALLERS


def test_tls_callers_that_ended_are_forgotten_too(pki: Pki, tmp_path: Path, made: MadeLog, server: WitnessServer) -> None:
    del server
    served = WitnessServer(("127.0.0.1", 0), open_witness(tmp_path / "w"), tls_files(pki))
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    try:
        url = f"https://localhost:{served.server_address[1]}"
        for _ in range(3):
            assert show(open_log(str(made.path)), served.witness._key, 0, _post(url, pki.root)).seen is Seen.COSIGNED
        # It does not read all of that.
        with contextlib.suppress(ConnectionError), socket.create_connection(served.server_address[:2], 60) as sock:
            sock.sendall(b"no TLS at all, and long enough to be seen as such\r\n\r\n")
            while sock.recv(65536):
                pass
        until(lambda: not served.callers._there, "all are forgotten")
    finally:
        served.shutdown()
        thread.join()
        served.server_close()
