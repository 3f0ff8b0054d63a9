"""What hangs before it serves, or beside the main work, is ended by the master too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardgate.master import rounds, writer
from wardgate.master.children import Children
from wardgate.master.events import Events
from wardgate.master.loop import Loop
from wardgate.master.rounds import Rounds
from wardgate.master.writer import Writer

HANGS = ("/bin/sh", "-c", "exec sleep 60")
CUSTODY = ("log", "origin", "key", "durable", "checkpoint_seconds", "checkpoint_records", "unsigned_records")


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.after(20.0, made.stop)  # so long if it is not ended
    yield made
    signal.set_wakeup_fd(-1)


def _children(loop: Loop) -> Children:
    children = Children()
    loop.on_signal(signal.SIGCHLD, children.reap)
    return children


def test_a_round_that_hangs_is_ended_and_the_next_one_comes(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "LONGEST_SECONDS", 0.2)
    events = Events("box")
    children = _children(loop)
    wanted = iter([True, True])

    def look() -> None:
        if len(events.last) == 2 and not len(children):
            loop.stop()
        loop.after(0.02, look)

    Rounds(loop, children, events, "pruning", HANGS, lambda: 0.05, lambda: next(wanted, False)).start()
    look()
    loop.run()
    assert [str(text).endswith('what=pruning how="signal 9"') for _, _, text in events.last] == [True, True], events.last
    assert not len(children)


def test_a_writer_that_hangs_while_it_starts_is_ended(loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writer, "START_SECONDS", 0.3)
    events = Events("box")
    children = _children(loop)
    config = {"box": {"run_dir": str(tmp_path)}, "custody": dict.fromkeys(CUSTODY, "x"), "keys": {"socket": "x"}}
    made = Writer(config, loop, children, events, HANGS, lambda: None, loop.stop, lambda: None)
    made.start()
    loop.run()
    assert events.last[0][1] == "WG930", events.last
    assert not len(children)
