"""The supervisor's line in `wardgate status`: absent, silent, present, and the last reset that it told of."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from wardgate.supervisor.conversation import Event, State, Status, What
from wardgate.supervisor.shown import WRITE_SECONDS, Shown, line, read

ARMED = Status(State.ARMED, 1, card=False, tamper=False, damaged=0, lost=0)


def _line(path: Path) -> str:
    return line(read(str(path)), time.time())


def test_without_a_link_it_is_absent(tmp_path: Path) -> None:
    assert _line(tmp_path / "none").startswith("supervisor: absent")


def test_one_that_answers_is_present_with_its_watchdog_and_switches(tmp_path: Path) -> None:
    shown = Shown(str(tmp_path / "state"))
    shown.stands(ARMED)
    shown.turn(0.0)
    text = _line(tmp_path / "state")
    assert "present since 20" in text and "watchdog armed, box closed, card switch out, 1 resets in the last hour" in text
    assert "no reset was told" in text
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o644
    shown.stands(ARMED._replace(tamper=True, card=True))
    shown.turn(1.0)
    assert "box OPEN, card switch in" in _line(tmp_path / "state")


def test_one_that_does_not_answer_is_silent_since_then(tmp_path: Path) -> None:
    shown = Shown(str(tmp_path / "state"))
    shown.turn(0.0)
    assert _line(tmp_path / "state") == "supervisor: not asked yet"
    shown.away("No such file")
    shown.turn(0.0)
    first = read(str(tmp_path / "state"))
    assert "SILENT since 20" in _line(tmp_path / "state") and "No such file" in _line(tmp_path / "state")
    shown.stands(ARMED)
    shown.away("it is silent")
    shown.away("No such file")
    shown.turn(1.0)
    assert first is not None and "(it is silent)" in _line(tmp_path / "state")


@pytest.mark.parametrize(("what", "words"), [(What.RESET, "it reset the box"), (What.WITHHELD, "it did not reset a silent box")])
def test_the_last_reset_is_shown_with_its_time_whether_or_not_it_still_answers(tmp_path: Path, what: What, words: str) -> None:
    shown = Shown(str(tmp_path / "state"))
    shown.stands(ARMED)
    shown.happened(Event(what, 3600))
    shown.happened(Event(What.TAMPER_OPENED, 0))
    shown.turn(0.0)
    at = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - 3600))
    assert words in _line(tmp_path / "state") and f"at {at}" in _line(tmp_path / "state")
    shown.away("it is silent")
    shown.turn(1.0)
    assert words in _line(tmp_path / "state")


def test_it_is_written_when_it_changes_and_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "state"
    shown = Shown(str(path))
    shown.stands(ARMED)
    shown.turn(0.0)
    path.unlink()
    shown.stands(ARMED)
    shown.turn(1.0)
    assert not path.exists()
    shown.turn(WRITE_SECONDS)
    assert path.exists()


def test_a_link_that_writes_no_more_is_told_from_one_that_does(tmp_path: Path) -> None:
    shown = Shown(str(tmp_path / "state"))
    shown.stands(ARMED)
    shown.turn(0.0)
    assert "its link has written nothing since" in line(read(str(tmp_path / "state")), time.time() + 100)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 5000,
        json.dumps({"written": "x", "since": -1, "answers": 1, "watchdog": "\x1b[2J", "last": 7}).encode(),
    ],
)
def test_a_file_that_is_none_of_ours_breaks_no_status(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state").write_bytes(data)
    assert _line(tmp_path / "state").isprintable()


def test_a_place_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    shown = Shown(str(tmp_path / "nowhere" / "state"))
    shown.stands(ARMED)
    shown.turn(0.0)
