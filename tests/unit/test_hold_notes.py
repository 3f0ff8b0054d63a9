"""Notes of the forwarder: later ones add to earlier ones, a torn or damaged frame costs no other, a failed disk is begun anew."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from wardgate.hold import notes as notes_module
from wardgate.hold.files import Files
from wardgate.hold.notes import Notes, decode, encode


def opened(folder: Path, files: Files | None = None, there: set[str] | None = None) -> Notes:
    return Notes(files or Files(), str(folder), lambda: there if there is not None else {"a", "b"})


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("notes-*"))


def test_later_notes_add_to_earlier_ones_and_null_takes_a_word_away(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    notes.add("a", {"state": "answered", "status": 0})
    notes.sync()
    notes.add("a", {"state": "gone", "status": None})
    notes.add("b", {"word": [1, 2]})
    notes.sync()
    for each in (notes, opened(tmp_path)):
        assert each.of("a") == {"state": "gone"}
        assert each.of("b") == {"word": [1, 2]}
        assert each.of("c") == {}


def test_a_note_that_was_not_synced_is_in_no_new_file_yet(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    notes.add("a", {"state": "answered"})
    assert not paths(tmp_path)
    notes.sync()
    assert len(paths(tmp_path)) == 1


def test_frames_cut_or_changed_anywhere_cost_only_themselves() -> None:
    frames = [encode(stem, {"n": number}) for number, stem in enumerate("abc")]
    data = b"".join(frames)
    for at in range(len(data)):
        found = [note["stem"] for note in decode(data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :])]
        hit = next(number for number in range(3) if at < sum(len(frame) for frame in frames[: number + 1]))
        assert found == [stem for number, stem in enumerate("abc") if number != hit], at
    for size in range(len(data)):
        whole = sum(size >= sum(len(frame) for frame in frames[: number + 1]) for number in range(3))
        assert [note["n"] for note in decode(data[:size])] == list(range(whole))


def test_a_long_file_is_followed_by_one_with_only_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "TURN_BYTES", 500)
    there = {"a", "b"}
    notes = opened(tmp_path, there=there)
    for number in range(30):
        notes.add("a", {"n": number})
        notes.sync()
    notes.add("b", {"n": 1})
    there.discard("a")
    for number in range(30):
        notes.add("b", {"n": number})
        notes.sync()
    (path,) = paths(tmp_path)
    assert path.stat().st_size < 1000
    assert opened(tmp_path).of("a") == {}
    assert opened(tmp_path).of("b") == {"n": 29}


class Failing(Files):
    """Fails writes or syncs while told to, and then leaves half a frame."""

    def __init__(self) -> None:
        self.what = ""

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.what == "write":
            super().write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "made to fail")
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        if self.what == "sync":
            raise OSError(errno.EIO, "made to fail")
        super().sync(fd)


def _note(notes: Notes, number: int) -> None:
    notes.add("a", {"n": number})
    notes.sync()


@pytest.mark.parametrize("what", ["write", "sync"])
def test_after_an_error_everything_is_written_anew(tmp_path: Path, what: str) -> None:
    files = Failing()
    notes = opened(tmp_path, files)
    notes.add("a", {"n": 1})
    notes.sync()
    files.what = what
    for _ in range(2):
        with pytest.raises(OSError, match="made to fail"):
            _note(notes, 2)
    files.what = ""
    notes.add("b", {"n": 3})
    notes.sync()
    assert opened(tmp_path).of("b") == {"n": 3}
    assert opened(tmp_path).of("a") == notes.of("a")
    assert len(paths(tmp_path)) == 1


def test_a_note_too_long_is_refused_before_it_is_known(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    with pytest.raises(ValueError, match="a note of"):
        notes.add("a", {"text": "x" * 10_000})
    assert notes.of("a") == {}
