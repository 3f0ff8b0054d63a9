"""What a server has still to be told, as a file: both ways, and what is none."""

from __future__ import annotations

import json

import pytest

from wardgate.update.owed import MAX_DETAIL, Ending, Owed, OwedError, read, write

OWED = Owed("ab" * 20, "2.0.0", Ending.ROLLED_BACK, "missing: service")


@pytest.mark.parametrize("owed", [OWED, OWED._replace(ending=Ending.GOOD, detail="")])
def test_what_is_written_is_read(owed: Owed) -> None:
    assert read(write(owed)) == owed


def test_a_long_detail_is_cut() -> None:
    assert read(write(OWED._replace(detail="x" * 5000))).detail == "x" * MAX_DETAIL


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"bundle": "AB" * 20}, {"bundle": 7}, {"version": "2.0 "}, {"ending": "fine"}, {"detail": None}, {"detail": "x" * 401}],
)
def test_what_is_none_is_an_error(change: dict[str, object]) -> None:
    with pytest.raises(OwedError):
        read(json.dumps({**json.loads(write(OWED)), **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 3000])
def test_damage_is_an_error(data: bytes) -> None:
    with pytest.raises(OwedError):
        read(data)
