"""What the supervisor told, on its way into the custody log: which events, when they happened, and no more than a few an hour."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardgate.custody.parse import parse_record
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.provision import kept
from wardgate.provision.kept import Kept
from wardgate.supervisor.conversation import Event, What
from wardgate.supervisor.keeping import KEPT_AN_HOUR, Keeping


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path


def _waiting(state: Path) -> list[Kept]:
    return kept.waiting(state, "ward", time.time_ns(), Quality.UNKNOWN)


@pytest.mark.parametrize(
    ("what", "word"),
    [
        (What.RESET, "supervisor-reset"),
        (What.WITHHELD, "supervisor-withheld"),
        (What.TAMPER_OPENED, "box-opened"),
        (What.TAMPER_CLOSED, "box-closed"),
        (What.BUTTON_HELD, "button-held"),
    ],
)
def test_resets_tamper_and_button_are_kept_as_records_of_the_box(state: Path, what: What, word: str) -> None:
    before = time.time_ns()
    Keeping(str(state), Log("test")).happened(Event(what, 40), Code.BOX_OPENED, 0.0)
    (one,) = _waiting(state)
    assert 0 <= one.happened_ns - (before - 40_000_000_000) < 30_000_000_000, "it happened before it was told"
    record = parse_record(one.record)
    assert (record.type, record.text("event"), record.text("code"), record.text("detail")) == ("box", word, "WG956", "")


@pytest.mark.parametrize("what", [What.CARD_IN, What.CARD_OUT])
def test_the_card_switch_is_not_for_the_key_service_says_which_token_is_there(state: Path, what: What) -> None:
    Keeping(str(state), Log("test")).happened(Event(what, 0), Code.BOX_SWITCH, 0.0)
    assert not _waiting(state)


def test_what_happened_longer_ago_than_can_be_told_says_so(state: Path) -> None:
    Keeping(str(state), Log("test")).happened(Event(What.RESET, 0xFFFF), Code.SUPERVISOR_RESET, 0.0)
    assert [one.detail for one in _waiting(state)] == ["so long ago or longer"]


def test_a_supervisor_that_tells_without_end_takes_no_room_of_others(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeping = Keeping(str(state), Log("test"))
    for number in range(3 * KEPT_AN_HOUR):
        keeping.happened(Event(What.TAMPER_OPENED, 0), Code.BOX_OPENED, float(number))
    assert len(_waiting(state)) == KEPT_AN_HOUR
    assert "WG939" in capsys.readouterr().err
    keeping.happened(Event(What.TAMPER_OPENED, 0), Code.BOX_OPENED, 3601.0)
    assert len(_waiting(state)) == KEPT_AN_HOUR + 1


def test_a_full_place_is_told_and_a_machine_without_one_is_let_be(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MAX_KEPT", 1)
    keeping = Keeping(str(state), Log("test"))
    for _ in range(2):
        keeping.happened(Event(What.RESET, 0), Code.SUPERVISOR_RESET, 0.0)
    assert "WG939" in capsys.readouterr().err
    Keeping(str(state / "nowhere"), Log("test")).happened(Event(What.RESET, 0), Code.SUPERVISOR_RESET, 0.0)
    assert capsys.readouterr().err == ""
