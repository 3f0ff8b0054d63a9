"""Does the custody writer's loop turn? Asked by the master, also when nobody takes the question."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardgate.master.knock import Knock
from wardgate.master.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    signal.set_wakeup_fd(-1)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[socket.socket]:
    """A writer that hangs: it listens and takes nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(0)
        yield listener


def turn(loop: Loop) -> None:
    loop.after(0.01, loop.stop)
    loop._running = True
    loop.run()


@pytest.mark.parametrize("others", [0, 1])
def test_a_writer_that_hangs_is_silent_also_when_its_queue_is_full(loop: Loop, writer: socket.socket, tmp_path: Path, others: int) -> None:
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(others)]
    for sock in waiting:
        sock.connect(str(tmp_path / "sock"))
    knock = Knock(loop, str(tmp_path / "sock"))
    for seconds in (0.0, 5.0, 25.0):
        assert knock.ask(100.0 + seconds) == seconds
        turn(loop)
    for sock in waiting:
        sock.close()
    knock.forget()


def test_one_that_turns_again_was_not_silent(loop: Loop, writer: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.connect(str(tmp_path / "sock"))
        knock = Knock(loop, str(tmp_path / "sock"))
        knock.ask(100.0)
        turn(loop)
        writer.accept()[0].close()
        assert knock.ask(105.0) == 5.0, "asked, and not answered yet"
        writer.accept()[0].close()
        turn(loop)
        assert knock.ask(110.0) == 0.0
    knock.forget()
