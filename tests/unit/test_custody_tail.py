"""What an update asks of the custody log: the tail in a moment, the whole log beside it; each kind of damage is seen by one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.logmaker import MadeLog, make_log
from wardgate.custody.export import ExportError, check
from wardgate.custody.note import NoteError
from wardgate.custody.recover import Damaged
from wardgate.custody.tail import check_tail
from wardgate.custody.tiles import TileError, tile_path
from wardgate.log import Log
from wardgate.update.whole import check_whole

RECORDS = 700


@pytest.fixture
def made(tmp_path: Path) -> MadeLog:
    return make_log(tmp_path / "log", RECORDS)


def flip(path: Path, at: int = 40) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_good_log_passes_both(made: MadeLog) -> None:
    assert check_tail(str(made.path)) == RECORDS
    assert check(str(made.path)).size == RECORDS
    assert check_whole(str(made.path), Log("test"))


def test_an_old_record_that_was_changed_is_seen_by_the_whole_check_alone(made: MadeLog) -> None:
    flip(made.path / tile_path(None, 0))
    assert check_tail(str(made.path)) == RECORDS, "the tail is not what was changed"
    with pytest.raises(ExportError):
        check(str(made.path))
    assert not check_whole(str(made.path), Log("test"))


def test_a_hash_on_the_right_edge_that_was_changed_is_seen_by_the_tail(made: MadeLog) -> None:
    flip(made.path / tile_path(0, 2, RECORDS - 512))
    with pytest.raises((Damaged, TileError)):
        check_tail(str(made.path))


@pytest.mark.parametrize("at", [60, -10])
def test_a_checkpoint_that_was_changed_is_seen_by_both(made: MadeLog, at: int) -> None:
    flip(made.path / "checkpoint", at)
    for look in (check_tail, check):
        with pytest.raises((NoteError, Damaged, TileError, ExportError)):
            look(str(made.path))


def test_a_log_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        check_tail(str(tmp_path / "none"))
