"""sd_notify by hand: what goes over the socket, and that nothing happens without one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.manager import Manager
from wardgate.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path, 6.0)
    yield made
    made.close()


def test_ready_reloading_and_stopping_are_said_in_systemds_words(manager: Manager) -> None:
    notifier = Notifier(manager.environment())
    notifier.ready("serving")
    notifier.reloading("again")
    notifier.stopping("bye")
    ready, reloading, stopping = manager.hear(5.0, "STATUS=bye")
    assert ready == "READY=1\nSTATUS=serving"
    first, monotonic, status = reloading.splitlines()
    assert (first, status) == ("RELOADING=1", "STATUS=again") and monotonic.startswith("MONOTONIC_USEC=")
    assert stopping == "STOPPING=1\nSTATUS=bye"


def test_a_status_with_line_breaks_cannot_say_another_word(manager: Manager) -> None:
    Notifier(manager.environment()).status("bad\nREADY=1\r\nMAINPID=1" + "x" * 5000)
    (text,) = manager.hear(5.0, "")[:1] or [""]
    assert text.count("\n") == 0 and len(text) < 300


def test_the_words_leave_the_environment_so_that_no_child_speaks_for_us(manager: Manager) -> None:
    env = {**manager.environment(), "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert Notifier(env).interval == 1.0
    assert env == {"HOME": "/"}


@pytest.mark.parametrize("words", [{"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, {}])
def test_a_watchdog_that_is_not_ours_is_not_petted(manager: Manager, words: dict[str, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.environment()["NOTIFY_SOCKET"], **words})
    notifier.alive()
    notifier.turned(1e9)
    assert notifier.interval is None and manager.hear(0.2) == []


def test_a_loop_pets_when_it_is_due_and_not_at_every_turn(manager: Manager) -> None:
    notifier = Notifier(manager.environment())
    for now in (10.0, 10.1, 10.9, 11.0, 11.5, 12.1):
        notifier.turned(now)
    assert manager.hear(0.3) == ["WATCHDOG=1"] * 3


def test_a_watchdog_that_gave_time_to_begin_is_told_to_be_as_impatient_as_others(manager: Manager) -> None:
    notifier = Notifier({**manager.environment(), "WATCHDOG_USEC": "300000000"})
    assert notifier.interval == 50.0
    notifier.settled(60.0)
    assert notifier.interval == 10.0 and manager.hear(5.0, "WATCHDOG_USEC") == ["WATCHDOG_USEC=60000000"]
    notifier.settled(120.0)
    assert notifier.interval == 10.0 and manager.hear(0.2) == [], "never more patient"
    nobody = Notifier({"NOTIFY_SOCKET": manager.environment()["NOTIFY_SOCKET"]})
    nobody.settled(60.0)
    assert nobody.interval is None and manager.hear(0.2) == []


def test_a_loop_that_has_settled_pets_by_its_new_patience_at_once(manager: Manager) -> None:
    """What was due within 50 seconds leaves 10 of a patience of 60: a few looks may be missed, not all but one."""
    notifier = Notifier({**manager.environment(), "WATCHDOG_USEC": "300000000"})
    notifier.turned(100.0)
    notifier.settled(60.0)
    assert manager.hear(5.0, "WATCHDOG_USEC")[-1] == "WATCHDOG_USEC=60000000"
    for now in (101.0, 110.0, 111.0):
        notifier.turned(now)
    assert manager.hear(0.3) == ["WATCHDOG=1"] * 2


def test_without_a_manager_and_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready("serving")
    Notifier({"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "1000000"}).alive()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"}).alive()


def test_an_abstract_socket_is_reached() -> None:
    name = f"wardgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(5.0)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready("serving")
        assert listener.recv(100) == b"READY=1\nSTATUS=serving"


def test_a_full_socket_does_not_hold_the_process_up(manager: Manager) -> None:
    notifier = Notifier(manager.environment())
    for _ in range(10_000):  # many more than a queue holds; a send that blocks would never return
        notifier.alive()
