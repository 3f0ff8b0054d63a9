"""The master and a custody writer that is not its child: it calls, tells, hears its end, calls again, and ends nothing."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wardgate.custody.arguments import CONTROL, arguments, socket_of
from wardgate.custody.wire import QUEUE_IS
from wardgate.master.apart import WriterApart
from wardgate.master.events import Events
from wardgate.master.loop import Loop
from wardgate.master.process import State

CUSTODY = ("log", "origin", "key", "durable", "checkpoint_seconds", "checkpoint_records", "unsigned_records")


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.after(20.0, made.stop)  # so long if it does not come
    yield made
    signal.set_wakeup_fd(-1)


class Desk:
    """A master's side, and the door at which a writer would take its call."""

    def __init__(self, loop: Loop, folder: Path, start_seconds: float = 60.0) -> None:
        self.loop, self.said = loop, []
        self.path = str(folder / "custody.sock")
        self.config: dict[str, Any] = {"box": {"run_dir": "/r"}, "custody": {**dict.fromkeys(CUSTODY, "x"), "socket": self.path}}
        self.config |= {"keys": {"socket": "x"}, "hold": None}
        self.events = Events("box")
        calls = [self._call(name) for name in ("ready", "failed", "gone")]
        self.writer = WriterApart(self.config, loop, self.events, *calls, start_seconds=start_seconds)
        self.lines: list[socket.socket] = []

    def _call(self, name: str) -> Callable[[], None]:
        return lambda: self.said.append(name)

    def door(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        Path(self.path + CONTROL).unlink(missing_ok=True)
        made.bind(self.path + CONTROL)
        made.listen(4)
        made.settimeout(20)
        return made

    def until(self, done: Callable[[], bool]) -> None:
        def look() -> None:
            if done():
                self.loop.stop()
            else:
                self.loop.after(0.01, look)

        look()
        self.loop._running = True
        self.loop.run()
        assert done()


@pytest.fixture
def desk(loop: Loop, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(loop, tmp_path)
    yield made
    made.writer.stop(0)


def test_a_writer_of_its_own_account_is_waited_for_and_then_called(desk: Desk) -> None:
    desk.writer.start()
    assert desk.writer.state is State.GONE and desk.said == []
    with desk.door() as door:
        desk.until(lambda: desk.said == ["ready"])
        assert desk.writer.state is State.READY and desk.writer.pid
        door.accept()[0].close()


def test_one_that_does_not_come_is_a_gateway_that_cannot_start(loop: Loop, tmp_path: Path) -> None:
    desk = Desk(loop, tmp_path, start_seconds=0.2)
    desk.writer.start()
    desk.until(lambda: desk.said == ["failed"])
    assert [code for _, code, _ in desk.events.last] == ["WG209"]
    desk.writer.stop(0)


def test_one_that_ends_is_told_and_called_again_and_hears_what_it_does_not_have_yet(desk: Desk) -> None:
    desk.writer.start()
    news = {"event": "removed", "token": "t"}
    with desk.door() as door:
        desk.until(lambda: desk.said == ["ready"])
        line, _ = door.accept()
        desk.writer.tell_tokens(["WG704", "out"], [news])
        told = json.loads(line.recv(1 << 16))
        assert told["out"] == ["WG704", "out"] and told["news"] == [[1, news]]
        line.close()
        desk.until(lambda: desk.said == ["ready", "ready"])
        again, _ = door.accept()
        assert json.loads(again.recv(1 << 16))["news"] == [[1, news]]
        assert [code for _, code, _ in desk.events.last] == ["WG208"]
        again.send(b'{"is":"tokens","done":1}')
        desk.until(lambda: not desk.writer._telling._news)
        again.close()


def test_it_is_told_where_instances_in_hold_are_also_when_that_is_new(loop: Loop, tmp_path: Path) -> None:
    desk = Desk(loop, tmp_path)
    desk.writer.start()
    with desk.door() as door:
        desk.until(lambda: desk.said == ["ready"])
        line, _ = door.accept()
        desk.writer.tell_queue({**desk.config, "hold": {"directory": "/q"}})
        assert line.recv(1 << 16) == QUEUE_IS + b"/q"
        line.close()
    desk.writer.stop(0)


def test_the_master_that_stops_leaves_it_alone(desk: Desk) -> None:
    desk.writer.start()
    with desk.door() as door:
        desk.until(lambda: desk.said == ["ready"])
        line, _ = door.accept()
        desk.writer.stop(0)
        desk.until(lambda: desk.said == ["ready", "gone"])
        assert line.recv(1) == b"" and not desk.events.last
        line.close()


def test_without_the_word_the_writer_is_a_child_in_the_run_directory(desk: Desk) -> None:
    assert socket_of(desk.config) == desk.path
    desk.config["custody"]["socket"] = ""
    assert socket_of(desk.config) == "/r/custody.sock"
    assert arguments(desk.config)[:2] == ("--socket", "/r/custody.sock")
