"""Tests read the custody log's files while the box goes on writing them: a record that a checkpoint moves meanwhile is not missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import ondisk

RECORD = b'{"v":1,"type":"store","sop_instance":"1.2.3","time":"2026-11-30T20:00:00.000Z"}'


def _move(log: Path) -> None:
    """What a checkpoint does: the bundle first, then the checkpoint, then the write-ahead file goes."""
    (log / "tile/entries/000.p").mkdir(parents=True)
    (log / "tile/entries/000.p/1").write_bytes(b"\0\x50" + RECORD)
    (log / "checkpoint").write_text("new")
    (log / "wal-0").unlink()


@pytest.mark.parametrize("moment", range(5))
def test_a_record_that_moves_while_the_files_are_read_is_found_once(folder: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    (folder / "tile").mkdir()
    (folder / "checkpoint").write_text("old")
    (folder / "vkey").write_text("key")
    (folder / "wal-0").write_bytes(b"head" + RECORD)
    looked = 0

    def before(real: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
        def read(path: Path) -> bytes:
            nonlocal looked
            if looked == moment:
                _move(folder)
            looked += 1
            return real(path)

        return read

    monkeypatch.setattr(Path, "read_bytes", before(Path.read_bytes))
    assert [record["sop_instance"] for record in ondisk.records(folder)] == ["1.2.3"]


def test_a_log_of_which_a_file_cannot_be_read_is_read_all_the_same(folder: Path) -> None:
    (folder / "wal-0").write_bytes(RECORD)
    (folder / "elsewhere").symlink_to(folder / "nowhere")
    assert len(ondisk.records(folder)) == 1
