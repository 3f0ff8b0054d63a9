"""The spool: order, durability, its bound, torn and damaged files, a disk that fails; and the marks of repositories."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wardgate.audit.marks import Marks
from wardgate.audit.spool import MAX_MESSAGE, SEGMENT_BYTES, Spool
from wardgate.custody import wal

BIG = 48 * 1024
BOUND = 4 * SEGMENT_BYTES


def made(folder: Path, bound: int = BOUND, at_least: int = 0) -> Spool:
    spool = Spool(str(folder), bound)
    spool.open(at_least)
    return spool


def data(number: int) -> bytes:
    return b"%d " % number * 40


def fill(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        assert spool.append(data(number)) == number
    spool.sync()


def read(spool: Spool, number: int = 0) -> list[int]:
    found = spool.read(number, 10_000)
    assert all(message.data == data(message.number) for message in found)
    return [message.number for message in found]


def test_messages_come_back_in_their_order_and_after_a_restart(tmp_path: Path) -> None:
    spool = made(tmp_path)
    fill(spool, 0, 1, 2)
    assert read(spool) == [0, 1, 2] and read(spool, 2) == [2] and read(spool, 3) == []
    spool.close()
    spool = made(tmp_path)
    assert read(spool) == [0, 1, 2]
    fill(spool, 3, 4)
    assert read(spool, 1) == [1, 2, 3, 4]


def test_what_is_not_synced_is_not_read(tmp_path: Path) -> None:
    spool = made(tmp_path)
    spool.append(data(0))
    assert read(spool) == []
    spool.sync()
    assert read(spool) == [0]


def test_a_killed_process_leaves_all_that_was_synced(tmp_path: Path) -> None:
    """Nothing is closed; the last message is torn in its middle."""
    spool = made(tmp_path)
    fill(spool, 0, 1)
    path = Path(wal.wal_path(str(tmp_path), 1))
    end = path.read_bytes().rindex(data(1)) + len(data(1))
    spool.append(data(2))
    os.truncate(path, end + 40)
    again = made(tmp_path)
    assert read(again) == [0, 1] and again.damaged == 0
    fill(again, 2)
    assert read(again) == [0, 1, 2]


def test_a_message_that_was_damaged_after_it_was_synced_is_told(tmp_path: Path) -> None:
    spool = made(tmp_path)
    fill(spool, 0)
    fill(spool, 1)
    spool.close()
    path = Path(wal.wal_path(str(tmp_path), 1))
    raw = bytearray(path.read_bytes())
    raw[raw.index(data(0)) + 3] ^= 1
    path.write_bytes(raw)
    assert made(tmp_path).damaged == 1


def test_the_oldest_go_when_the_bound_is_reached(tmp_path: Path) -> None:
    spool = made(tmp_path)
    each = SEGMENT_BYTES // BIG
    for number in range(10 * each):
        assert spool.append(bytes([number % 251]) * BIG) == number
    spool.sync()
    assert spool.size <= BOUND
    assert sum(path.stat().st_size for path in tmp_path.glob("wal-*")) <= BOUND
    assert spool.first > 0 and spool.next == 10 * each
    found = spool.read(0, 10_000)
    assert [message.number for message in found] == list(range(spool.first, spool.next))
    assert all(message.data[0] == message.number % 251 for message in found)


def test_many_restarts_do_not_use_the_room_up(tmp_path: Path) -> None:
    for number in range(12):
        spool = made(tmp_path)
        fill(spool, number)
        spool.close()
    again = made(tmp_path)
    assert read(again) == list(range(12))
    assert again.size < 12 * 1024
    assert sum(path.stat().st_size for path in tmp_path.glob("wal-*")) == again.size


def test_files_that_every_repository_has_had_go(tmp_path: Path) -> None:
    spool = made(tmp_path)
    fill(spool, 0, 1)
    spool.close()
    spool = made(tmp_path)
    fill(spool, 2)
    spool.forget_below(1)
    assert read(spool) == [0, 1, 2]
    spool.forget_below(2)
    assert read(spool) == [2] and len(list(tmp_path.glob("wal-*"))) == 1
    spool.forget_below(3)
    fill(spool, 3)
    assert read(spool, 3) == [3]


def test_numbers_never_come_again(tmp_path: Path) -> None:
    spool = made(tmp_path, at_least=41)
    assert spool.append(b"x") == 41
    spool.close()
    assert made(tmp_path, at_least=7).next == 42


def test_a_message_out_of_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bounds"):
        made(tmp_path).append(bytes(MAX_MESSAGE + 1))


def test_a_sync_that_fails_keeps_nothing_of_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = made(tmp_path)
    fill(spool, 0)

    def fails(_wal: wal.Wal) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(wal.Wal, "sync", fails)
        spool.append(data(1))
        with pytest.raises(OSError, match="no"):
            spool.sync()
    assert read(spool) == [0] and spool.next == 1
    fill(spool, 1, 2)
    assert read(spool) == [0, 1, 2]
    spool.close()
    assert read(made(tmp_path)) == [0, 1, 2]


def test_a_full_disk_is_met_when_a_file_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = made(tmp_path)

    def full(*_: object) -> wal.Wal:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(wal, "create", full)
        with pytest.raises(OSError, match="full"):
            spool.append(data(0))
    fill(spool, 0)
    assert read(spool) == [0]


def test_marks_are_kept_and_unreadable_ones_are_told(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path))
    assert marks.load() == {} and not marks.unreadable
    marks.keep({"r0": 3})
    assert Marks(str(tmp_path)).load() == {"r0": 3}
    for bad in (b"[]", b"{", b'{"r0": -1}', b'{"r0": true}', b" " * 70_000):
        (tmp_path / "marks.json").write_bytes(bad)
        broken = Marks(str(tmp_path))
        assert broken.load() == {} and broken.unreadable
