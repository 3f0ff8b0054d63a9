"""How long one turn of the key service's loop may call a token itself: the tokens are stand-ins that count who was asked to serve."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.processes import until
from wardgate.codes import Code
from wardgate.log import Log
from wardkeys import wire
from wardkeys.config import parse
from wardkeys.gather import Gather
from wardkeys.request import Connection, Request
from wardkeys.service import Service
from wardkeys.token import TokenThread
from wardkeys.wire import Op

CALLERS = 60
SIGN_SECONDS = 0.001


class OneThread:
    """For a `Baton`: the loop is never taken over, however slow the machine is."""

    def __init__(self, loop: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=loop)
        self.start, self.wait = self._thread.start, self._thread.join

    def call(self, work: Callable[[], None]) -> bool:
        work()
        return True


class QuickToken(TokenThread):
    """Answers within a millisecond of `all_ask`, as it says; counts what the service's thread asks it for and what it is given to queue."""

    def __init__(self, config: Any) -> None:
        super().__init__(SimpleNamespace(config=config, kept={}, refusal=None))  # type: ignore[arg-type]  # a stand-in has no module
        self.settled.set()
        self.called = self.queued = 0
        self.all_ask = threading.Event()

    def is_quick(self) -> bool:
        return True

    def serve_now(self, request: Request) -> None:
        self.called += 1
        assert self.all_ask.wait(60)
        time.sleep(SIGN_SECONDS)
        request.answer([b"signature"])

    def submit(self, item: Request | Gather) -> None:
        assert isinstance(item, Request)
        self.queued += 1
        item.answer([b"signature"])

    def join(self, seconds: float) -> None:
        pass


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardkeys.service.Baton", OneThread)


def _crowd(folder: Path, names: str) -> QuickToken:
    """Run a service with these tokens, let many callers ask the first at once, and return it."""
    path = folder / "keys.sock"
    tables = [{"name": name, "module": "/m.so", "label": name} for name in names]
    config = parse({"socket": str(path), "allow_uids": [os.geteuid()], "token": tables})
    tokens = [QuickToken(one) for one in config.tokens]
    service = Service(config, [*tokens], Log("wardkeys"))
    runner = threading.Thread(target=service.run)
    runner.start()
    request = wire.encode_request(Op.SIGN, 1, [b"pkcs11:token=a;object=k", b"ecdsa-sha256", bytes(32)])
    callers = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(CALLERS)]
    try:
        for caller in callers:
            caller.settimeout(60)
            while caller.connect_ex(str(path)):
                time.sleep(0.01)  # it does not listen yet
        for caller in callers:
            caller.send(request)
        tokens[0].all_ask.set()
        for caller in callers:
            assert wire.decode_response(caller.recv(65536))[2] == 0
    finally:
        for caller in callers:
            caller.close()
        tokens[0].all_ask.set()
        service.stop()
        runner.join(60)
    return tokens[0]


def test_a_token_that_many_ask_at_once_gets_its_own_thread_where_others_may_be_asked(folder: Path) -> None:
    token = _crowd(folder, "ab")
    assert token.queued > 0 and token.called + token.queued == CALLERS


def test_the_only_token_is_called_at_once(folder: Path) -> None:
    token = _crowd(folder, "a")
    assert token.called == CALLERS


class Mistaken:
    """A holder with a mistake of ours in `reload`; counts its looks."""

    def __init__(self, config: Any) -> None:
        self.config, self.turn, self.log = config, threading.Lock(), Log("wardkeys")
        self.looks = 0

    def reload(self) -> None:
        raise OSError("no room")

    def look(self) -> None:
        self.looks += 1

    def close(self) -> None:
        pass


def test_a_mistake_while_pin_files_are_looked_at_does_not_end_the_token(folder: Path) -> None:
    config = parse({"socket": str(folder / "s"), "token": [{"name": "a", "module": "/m.so", "label": "a"}]})
    holder = Mistaken(config.tokens[0])
    token = TokenThread(holder)  # type: ignore[arg-type]  # a stand-in has no module
    token.start()
    token.settled.wait(20)
    token.reload()
    try:
        until(lambda: holder.looks >= 2, "the token is looked at after the mistake", 20)
    finally:
        token.stop()
        token.join(20)


def test_an_answer_that_comes_too_late_does_not_take_the_next_question_of_that_number_with_it() -> None:
    """The TLS provider asks every question of a connection under the number 1."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        caller = Connection(theirs)
        late, next_one = (Request(caller, Op.SIGN, 1, [], 0.0) for _ in range(2))
        caller.waiting[1] = late
        late.fail(Code.KEYS_TIMEOUT, "no answer in time")
        caller.waiting[1] = next_one
        late.answer([b"late"])
        assert next_one.waits
        next_one.answer([b"signature"])
        assert wire.decode_response(ours.recv(65536))[2] == Code.KEYS_TIMEOUT.value.number
        assert wire.decode_response(ours.recv(65536))[3] == [b"signature"]
        caller.close()
