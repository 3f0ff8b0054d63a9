"""What happened while the custody log was away stands in it once the vault is open: once, whatever is killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.bench import Bench
from support.ondisk import records
from support.processes import run, until
from wardgate.codes import Code
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.policy import load
from wardgate.provision import kept
from wardgate.provision.due import is_waiting
from wardgate.provision.kept import BoxEvent, KeptFull, keep
from wardgate.update.box import Box
from wardgate.update.trial import Side

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm", "tests"))}


@pytest.fixture
def state(folder: Path) -> Path:
    place = folder / "state"
    for name in ("kept", "floor"):
        (place / name).mkdir(parents=True)
    return place


def _events(bench: Bench) -> list[dict]:
    return [record for record in records(bench.plan.log_dir) if record["type"] == "box"]


def test_events_of_the_time_before_stand_in_the_log_with_their_own_time_and_are_signed(bench: Bench, state: Path) -> None:
    keep(state, BoxEvent.CARD_REMOVED, "WG740", "reader 0", time_ns=10**18, quality=Quality.UNSYNCHRONISED)
    for number in range(3):
        keep(state, BoxEvent.UPDATE_INSTALLED, detail=f"number {number}")
    bench.plan.box = {"state": state}
    bench.start()
    until(lambda: not is_waiting(state), "the log has taken them")
    found = _events(bench)
    assert [event["event"] for event in found] == ["card-removed", *["update-installed"] * 3]
    first = found[0]
    assert (first["happened"], first["happened_quality"]) == ("2001-09-09T01:46:40.000000000Z", "unsynchronised")
    assert (first["code"], first["detail"]) == ("WG740", "reader 0")
    bench.box.wait_code("KEPT_RECORDED")
    keep(state, BoxEvent.CARD_REMOVED)
    until(lambda: not is_waiting(state), "one of now is taken too")
    bench.box.stop()
    bench.assert_log_verifies()
    shown = run((sys.executable, "-m", "wardtools.main", "custody", "show", bench.plan.log_dir), env={"PYTHONPATH": "firmware:hsm:tools"})
    assert "CARD-REMOVED WG740 (reader 0), happened 2001-09-09T01:46:40" in shown.stdout


def test_an_event_given_twice_stands_in_the_log_once(bench: Bench, state: Path) -> None:
    """The appender was killed between the writer's answer and the end of the file: the file is put back."""
    path = Path(keep(state, BoxEvent.UPDATE_GOOD))
    text = path.read_bytes()
    bench.plan.box = {"state": state}
    bench.start()
    until(lambda: not is_waiting(state), "the log has taken it")
    path.write_bytes(text)
    until(lambda: not is_waiting(state), "it was given again")
    bench.box.stop()
    path.write_bytes(text)  # and once more to a writer that was started anew
    bench.start()
    until(lambda: not is_waiting(state), "it was given again")
    assert len(_events(bench)) == 1


def test_what_became_of_an_update_while_the_log_was_away_stands_in_it_later(bench: Bench, state: Path) -> None:
    bench.plan.box = {"state": state}
    box = Box(Log("update"), str(state / "update"), record_seconds=0)
    config = load(bench.plan.write(), check_files=False)
    box.record(config, "rolled-back", Side("A", "1.0.0"), Side("B", "2.0.0"), Code.UPDATE_ROLLED_BACK, "missing: vault")
    assert is_waiting(state)
    bench.start()
    until(lambda: not is_waiting(state), "the log has taken it")
    box.record(config, "refused", Side("A", "1.0.0"), Side("B", "0.9"), Code.UPDATE_OLDER)
    assert not is_waiting(state), "a log that is there takes it at once"
    bench.box.stop()
    (event,) = _events(bench)
    assert (event["event"], event["code"], event["detail"]) == ("update-rolled-back", "WG907", "A 1.0.0 > B 2.0.0 missing: vault")
    assert [record["event"] for record in records(bench.plan.log_dir) if record["type"] == "update"] == ["refused"]


def test_no_more_than_the_bound_are_kept_and_the_lost_ones_are_counted(state: Path) -> None:
    for name in range(kept.MAX_KEPT):
        (state / "kept" / f"{name:020d}-{name:032x}.json").write_text("{}")
    for _ in range(3):
        with pytest.raises(KeptFull):
            keep(state, BoxEvent.CARD_REMOVED)
    assert (state / "kept/lost").read_text() == "3"
    events = kept.waiting(state, "ward", 0, Quality.UNKNOWN)
    assert len(events) == kept.MAX_KEPT
    assert json.loads(events[0].record)["event"] == "events-lost"  # what cannot be read is told, not passed over
    for event in events[:2]:
        kept.done(event)
    kept.tell_lost(state)
    assert not (state / "kept/lost").exists()
    assert "3 events found no room" in "".join(path.read_text() for path in (state / "kept").iterdir())


@pytest.mark.parametrize("damage", [b"", b"{", b"[" * 2048, b"\xff" * 100])
def test_one_that_cannot_be_read_is_recorded_as_lost_and_keeps_nobody_up(state: Path, damage: bytes) -> None:
    Path(keep(state, BoxEvent.CARD_REMOVED)).write_bytes(damage)
    keep(state, BoxEvent.VAULT_CLOSED)
    found = kept.waiting(state, "box", 0, Quality.UNKNOWN)
    assert [one.event for one in found] == [BoxEvent.EVENTS_LOST, BoxEvent.VAULT_CLOSED]


@pytest.mark.parametrize("word", ["--code=X", "--code=WG99", "nonsense"])
def test_a_wrong_event_is_refused(state: Path, word: str) -> None:
    words = [word] if not word.startswith("-") else ["card-removed", word]
    done = subprocess.run(
        [sys.executable, "-m", "wardgate", "state", "keep", *words, "--state", str(state)], env={**os.environ, **ENV}, capture_output=True
    )
    assert done.returncode in (1, 2) and not is_waiting(state)
