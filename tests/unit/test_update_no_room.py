"""A state partition that takes nothing, or power that goes, when a slot was judged: no start again for ever, and the end is recorded."""

from __future__ import annotations

import errno
import io
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.standinbox import StandIn
from wardgate import policy
from wardgate.codes import Code
from wardgate.custody.wire import MAX_PACKET
from wardgate.log import Log
from wardgate.update import command, probes
from wardgate.update.box import Box
from wardgate.update.installing import install
from wardgate.update.judge import SERVICE, VAULT, Outcome, Seen
from wardgate.update.judging import Result, after_start
from wardgate.update.owed import Owed
from wardgate.update.trial import Side, Trial

WORKS = Seen({SERVICE: Outcome.WORKS, VAULT: Outcome.WORKS}, 5)
DEAD = Seen({SERVICE: Outcome.FAILS, VAULT: Outcome.WORKS}, 5)
CLOSED = Seen({SERVICE: Outcome.FAILS, VAULT: Outcome.FAILS}, None)


class Config:
    """As much of a configuration as the judge reads."""

    class box:
        trial_seconds = 0

    custody = SimpleNamespace(log="/nowhere")


class PowerCut(BaseException):
    """The box goes off here."""


class Full(StandIn):
    """A box whose state partition is full: nothing new goes on it, but what lies there can be removed. `only`: read only."""

    full = only = False
    cut = False  # the power goes when the trial is to be forgotten

    def _refuse(self) -> None:
        if self.full or self.only:
            raise OSError(errno.EROFS if self.only else errno.ENOSPC, "no")

    def keep(self, trial: Trial) -> None:
        self._refuse()
        super().keep(trial)

    def want_whole(self, version: str) -> None:
        self._refuse()
        super().want_whole(version)

    def owe(self, owed: Owed) -> None:
        self._refuse()
        super().owe(owed)

    def remember_rolled_back(self, version: str) -> None:
        self._refuse()
        super().remember_rolled_back(version)

    def forget(self) -> None:
        if self.cut:
            raise PowerCut
        if self.only:
            self._refuse()
        super().forget()
        self.full = False  # it has given its room back


def put(box: StandIn, seen: Seen = WORKS) -> None:
    install(box, Config(), "bundle", Log("test"), lambda: seen)  # type: ignore[arg-type]


def started(box: StandIn, seen: Seen, patch: pytest.MonkeyPatch) -> int:
    """Return with what `wardgate update judge` ends: 3 starts the box again."""
    patch.setattr(policy, "load", lambda path, **words: Config)
    patch.setattr(probes, "look", lambda config: seen)
    patch.setattr("wardgate.update.box.Box", lambda log: box)
    patch.setattr("subprocess.Popen", lambda words, **more: None)
    return command.main(["judge", "-c", "wardgate.toml"], io.StringIO(), io.StringIO())


@pytest.mark.parametrize("only", [False, True])
def test_a_good_slot_is_not_started_again_for_ever_because_the_state_takes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], only: bool
) -> None:
    """The mark sets the loader's tries back, so nothing else would end it."""
    box = Full(folder)
    put(box)
    box.restarted("B", "2.0.0")
    box.full, box.only = not only, only
    assert started(box, WORKS, monkeypatch) == 0
    assert box.done == ["good", "record good 1.0.0>2.0.0 WG905"]
    assert "WG911" in capsys.readouterr().err, "and it is said"
    if not only:
        assert box.trial() is None and box.whole_wanted() == "2.0.0", "the trial gave its room back"


@pytest.mark.parametrize("only", [False, True])
def test_an_unproven_slot_is_not_started_again_for_ever_either(folder: Path, monkeypatch: pytest.MonkeyPatch, only: bool) -> None:
    box = Full(folder)
    put(box, CLOSED)
    box.restarted("B", "2.0.0")
    box.full, box.only = not only, only
    assert started(box, CLOSED, monkeypatch) == 0
    assert box.done == ["good", "record unproven 1.0.0>2.0.0 WG921"]


@pytest.mark.parametrize("baseline", [WORKS, CLOSED])
def test_a_bad_slot_is_marked_and_left_although_why_cannot_be_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, baseline: Seen) -> None:
    box = Full(folder)
    put(box, baseline)
    if baseline is CLOSED:
        started(box.restarted("B", "2.0.0"), CLOSED, monkeypatch)
    box.restarted("B", "2.0.0")
    box.full = True
    assert started(box, DEAD, monkeypatch) == command.START_AGAIN and box.done == ["bad"]


def test_the_way_back_is_recorded_although_the_state_takes_nothing_and_what_came_back_is_no_newer_release(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Full(folder)
    put(box)
    started(box.restarted("B", "2.0.0"), DEAD, monkeypatch)
    box.restarted("A", "1.0.0")
    box.full = True
    assert started(box, WORKS, monkeypatch) == 0
    assert box.done == ["good", "record rolled-back 1.0.0>2.0.0 WG907"]
    assert box.is_any_trial(), "else a server would bring it again"
    box.full = False
    started(box.restarted("A", "1.0.0"), WORKS, monkeypatch)
    assert box.rolled_back() == "2.0.0" and not box.is_any_trial()
    assert box.idents[-1] == box.idents[-2] is not None, "the log takes the second one for the first"


@pytest.mark.parametrize(
    ("seen", "ends"),
    [(WORKS, "record good 1.0.0>2.0.0 WG905"), (DEAD, "record rolled-back 1.0.0>2.0.0 WG907")],
)
def test_an_end_is_recorded_before_the_trial_is_forgotten_and_once_although_the_power_goes_between(
    folder: Path, seen: Seen, ends: str
) -> None:
    box = Full(folder)
    put(box)
    box.restarted("B", "2.0.0")
    if seen is DEAD:
        assert judged(box, DEAD) is Result.START_AGAIN
        box.restarted("A", "1.0.0")
    box.cut = True
    with pytest.raises(PowerCut):
        judged(box, WORKS)
    assert ends in box.done
    box.cut = False
    judged(box.restarted(box.now, box.running), WORKS)
    assert ends in box.done and box.idents[-1] == box.idents[-2] is not None


def test_trials_that_could_not_be_read_are_each_recorded(folder: Path) -> None:
    for _ in range(2):
        box = StandIn(folder)
        (folder / "trial.json").write_text("{")
        judged(box, WORKS)
        assert box.idents == [None]


def judged(box: StandIn, seen: Seen) -> Result:
    config: Any = Config
    return after_start(box, config, Log("test"), lambda: seen)


@pytest.mark.parametrize("answer", [b"\xff" * 7, b"no answer of a writer"])
def test_a_writer_that_answers_what_is_no_answer_keeps_no_judge_from_its_end(folder: Path, answer: bytes) -> None:
    """The judge would fail, and the box start again, into the slot that is marked good."""
    (folder / "kept").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as writer:
        writer.bind(str(folder / "custody.sock"))
        writer.listen()

        def say() -> None:
            connection, _ = writer.accept()
            with connection:
                connection.recv(MAX_PACKET)
                connection.send(answer)

        thread = threading.Thread(target=say)
        thread.start()
        box = SimpleNamespace(name="ward", run_dir=folder, state=folder)
        config: Any = SimpleNamespace(box=box, audit=None, writer_socket=folder / "custody.sock")
        Box(Log("test"), str(folder), record_seconds=0).record(config, "good", Side("A", "1"), Side("B", "2"), Code.UPDATE_GOOD)
        thread.join(60)
    assert len(list((folder / "kept").glob("*.json"))) == 1
