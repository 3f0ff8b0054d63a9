"""A module is used by many threads and restarted by one. SoftHSM is not needed: what counts is who waits for whom."""

from __future__ import annotations

import threading

import pytest

from wardkeys.cryptoki import module as under_test
from wardkeys.cryptoki.failures import Ckr, ModuleUnusable
from wardkeys.cryptoki.module import Module


class _Functions:
    """C_Initialize and C_Finalize that count."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def C_Initialize(self, _: object) -> int:
        self.calls.append("initialize")
        return 0

    def C_Finalize(self, _: object) -> int:
        self.calls.append("finalize")
        return 0


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """Our own bookkeeping around two functions; the library below them is in tests/hardware."""
    monkeypatch.setattr(under_test, "_load", lambda path: _Functions())
    return Module("any.so")


def test_a_restart_ends_and_begins_and_counts_a_generation(module: Module) -> None:
    module.restart(0)
    module.restart(1)
    assert module.generation == 2
    assert module.f.calls == ["initialize", "finalize", "initialize"]


def test_who_comes_late_does_not_restart_again(module: Module) -> None:
    module.restart(0)
    module.restart(0)
    assert module.generation == 1


def test_a_restart_waits_for_those_inside_and_gives_up_in_the_end(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_RESTART_WAIT_SECONDS", 0.2)
    module.restart(0)
    inside, leave = threading.Event(), threading.Event()

    def user() -> None:
        with module:
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=user)
    thread.start()
    inside.wait(20)
    with pytest.raises(Ckr):
        module.restart(1)
    assert module.f.calls == ["initialize"], "a module is not ended under somebody's feet"
    leave.set()
    thread.join(20)
    module.restart(1)
    assert module.generation == 2


def test_a_use_within_a_use_does_not_wait_for_the_restart_that_waits_for_it(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_RESTART_WAIT_SECONDS", 20.0)
    module.restart(0)
    failures: list[Exception] = []

    def restart() -> None:
        try:
            module.restart(1)
        except Ckr as error:
            failures.append(error)

    thread = threading.Thread(target=restart)
    with module:
        thread.start()
        while not module._restarting and not failures:
            pass
        with module:
            pass
        nested_before_the_end = not failures
    thread.join(60)
    assert nested_before_the_end and not failures


def test_a_library_that_is_none_is_said_so() -> None:
    for path in ("/nonexistent.so", "libc.so.6"):
        with pytest.raises(ModuleUnusable):
            Module(path)
